"""Running programs: on in-memory objects, or from another program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import ProgramResult
from spindle.errors import FileFormatError
from spindle.params import Assignment, HostParams, Params
from spindle.params.resolve import build
from spindle.plugins.host import PluginHost

from .compile_cache import prepare_compile_cache
from .context import RunContext
from .settings import RunSettings
from .steps import execute, make_inputs

if TYPE_CHECKING:
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
    assignments = [Assignment(key.replace("__", "."), value, "call") for key, value in params.items()]
    tree = effective_params(program, assignments, PluginHost())
    from .door import check_reflections  # imports numba: not before the compile cache is prepared

    context = RunContext(program, tree, make_host(RunSettings.of(program, tree)))
    inputs = make_inputs(experiments, reflections, files)
    if experiments is not None and not len(experiments):
        raise FileFormatError(f"{program}: there are no experiments; give at least one")
    if inputs.reflections:
        from .door import check_reflections  # it imports numba, which has to find its cache prepared
    for number, table in enumerate(inputs.reflections):
        check_reflections(table, experiments, f"{program}: reflections {number}")
    return execute(context, inputs)


__all__ = ["effective_params", "make_host", "run"]
