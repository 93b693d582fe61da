"""Programs and single algorithms on objects in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import ProgramResult
from spindle.errors import FileFormatError
from spindle.params import Assignment, HostParams, Params
from spindle.params.resolve import build
from spindle.plugins.host import Handle, PluginHost

from .compile_cache import prepare_compile_cache
from .context import RunContext
from .settings import RunSettings
from .steps import execute, make_inputs
from .working_folder import folder_of, inside, with_absolute_files

if TYPE_CHECKING:
    import subprocess

    from spindle.models import Experiments
    from spindle.table import ReflectionTable


def effective_params(name: str, assignments: Iterable[Assignment], host: PluginHost) -> Params:
    """Return the effective parameters of a program."""
    prepare_compile_cache()
    program: Any = host.load("program", name)
    return build(program.Params or Params, assignments, host.load, HostParams)


def make_host(settings: RunSettings | None = None) -> PluginHost:
    """Return a plugin host; with ``settings``, one that holds the observers they name."""
    host = PluginHost()
    for observer in settings.observers if settings is not None else ():
        plugin: Any = host.load(observer.slot, observer.name, "run.observers")
        own = build(plugin.Params) if observer.params is None and plugin.Params else observer.params
        host.observe(observer.name, plugin.from_params(own, None))
    return host


class Session:
    """A program with its effective parameters, made once and run any number of times on objects in memory; nothing is written.

    Parameters
    ----------
    program : str
        Its name, as on the command line.
    params : Params or mapping, optional
        A whole tree, for example `Session.params` of another session, or values by dotted name as `run` takes them.

    Attributes
    ----------
    program : str
    params : Params

    Raises
    ------
    ParameterError, PluginError

    Examples
    --------
    >>> session = spindle.Session("find_spots", {"spotfinder.filter.d_min": 2})  # doctest: +SKIP
    >>> found = [session.run(experiments) for experiments in sweeps]  # doctest: +SKIP
    """

    def __init__(self, program: str, params: Params | Mapping[str, Any] | None = None) -> None:
        prepare_compile_cache()
        self.program = program
        if not isinstance(params, Params):
            values = (params or {}).items()
            params = effective_params(program, [Assignment(key, value, "call") for key, value in values], PluginHost())
        self.params = params

    def changed(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Session:
        """Return a session with other parameters; see `spindle.params.Params.changed`."""
        return Session(self.program, self.params.changed(values, "call", **more))

    def run(
        self,
        experiments: Experiments | None = None,
        reflections: ReflectionTable | Sequence[ReflectionTable] | None = None,
        files: Sequence[Path | str] = (),
    ) -> ProgramResult:
        """Run the program; see `run`."""
        inputs = make_inputs(experiments, reflections, files)
        if experiments is not None and not len(experiments):
            raise FileFormatError(f"{self.program}: there are no experiments; give at least one")
        if inputs.reflections:
            from .door import check_reflections  # it imports numba, which has to find its cache prepared
            from .numbering import number_tables

            if len(inputs.reflections) > 1 and experiments is not None:
                names = [f"{self.program}: reflections {i}" for i in range(len(inputs.reflections))]
                inputs.reflections = number_tables(inputs.reflections, [experiments], names)
        for number, table in enumerate(inputs.reflections):
            check_reflections(table, experiments, f"{self.program}: reflections {number}")
        folder = folder_of(self.params)
        if folder is None:
            return execute(self._context(), inputs)
        inputs.files = [file.absolute() for file in inputs.files]
        context = RunContext(
            self.program, with_absolute_files(self.params), make_host(RunSettings.of(self.program, self.params))
        )
        with inside(folder):
            return execute(context, inputs)

    def run_program(
        self,
        name: str,
        experiments: Experiments | None = None,
        reflections: ReflectionTable | Sequence[ReflectionTable] | None = None,
        files: Sequence[Path | str] = (),
        **params: Any,
    ) -> ProgramResult:
        """Run another program with the parameters that the tree holds for it, as the program itself would; see
        `RunContext.run_program`.
        """
        return self._context().run_program(name, experiments, reflections, files, **params)

    def compile_beside(self) -> subprocess.Popen[bytes] | None:
        """Start a process that compiles, for later runs, what is not compiled yet of all plugins in the parameters.

        Returns
        -------
        subprocess.Popen or None
            It ends with this process at the latest; None when there is nothing to compile.
        """
        from .precompile import compile_beside, packages_of

        return compile_beside(packages_of(self.params))

    def _context(self) -> RunContext:
        return RunContext(self.program, self.params, make_host(RunSettings.of(self.program, self.params)))


def run(
    program: str,
    experiments: Experiments | None = None,
    reflections: ReflectionTable | Sequence[ReflectionTable] | None = None,
    files: Sequence[Path | str] = (),
    **params: Any,
) -> ProgramResult:
    """Run a program on in-memory objects; nothing is written.

    Parameters
    ----------
    program : str
        Its name, as on the command line.
    experiments : Experiments, optional
    reflections : ReflectionTable or sequence of them, optional
    files : sequence of path, optional
        Files that are neither experiments nor reflections, such as images.
    **params
        Parameters by dotted name or unique suffix (``**{"background.algorithm": "glm"}``, or with two underscores for
        a dot: ``background__algorithm="glm"``); the name of a scope stands for the algorithm that is chosen in it
        (``background="glm"``); a dict or a `Params` sets a whole scope.

    Returns
    -------
    ProgramResult
    """
    session = Session(program, {key.replace("__", "."): value for key, value in params.items()})
    return session.run(experiments, reflections, files)


def algorithm(slot: str, name: str, **params: Any) -> Handle:
    """Return one plugin to call on arrays and tables, outside of any run.

    Parameters
    ----------
    slot, name : str
        ``spindle plugins`` lists them.
    **params
        Its parameters by dotted name, with two underscores for a dot.

    Returns
    -------
    Handle
        The hooks of the slot are its methods; `spindle.contracts` and ``spindle help <slot>`` say what they take and return.

    Raises
    ------
    ParameterError, PluginError

    Examples
    --------
    >>> glm = spindle.algorithm("background", "glm", robust__tuning_constant=1.5)  # doctest: +SKIP
    >>> estimate = glm.estimate_background(shoeboxes=shoeboxes, detector=detector)  # doctest: +SKIP
    """
    prepare_compile_cache()
    host = PluginHost()
    plugin: Any = host.load(slot, name)
    assignments = [Assignment(key.replace("__", "."), value, "call") for key, value in params.items()]
    own = build(plugin.Params or Params, assignments, host.load)
    return RunContext(name, build(HostParams), host).algorithm(slot, name, own)


__all__ = ["Session", "algorithm", "effective_params", "make_host", "run"]
