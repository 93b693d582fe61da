"""What a program and its algorithms get from the host."""

from __future__ import annotations

import atexit
import logging
import pickle
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spindle.errors import Cancelled, ParameterError
from spindle.params import Params, chosen, plugin_scope
from spindle.plugins import PluginFile, add_plugin_files, plugin_files, registry
from spindle.plugins.host import Handle, PluginHost

from .executor import Executor, available_cores
from .held import Held
from .progress import Progress
from .settings import DEFAULT_EXECUTOR, RunSettings

if TYPE_CHECKING:
    import numpy as np

    from spindle.contracts import ProgramResult
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable

    from .steps import Record

Entered = TypeVar("Entered")


class RunContext:
    """Services of the host during one run.

    Parameters
    ----------
    program : str
        Name of the program.
    params : Params
        Its effective parameters.
    host : PluginHost
        Plugins of the run.
    show_progress : bool
        Draw progress bars.

    Attributes
    ----------
    log : logging.Logger
        INFO is what the user reads; with ``extra=DETAIL`` (of `spindle.report`), what the screen shows with ``-v`` only.
    tables : list of Table
        What was reported so far.
    written : list of Path
        Files that the run has written, those of programs inside it included.
    settings : RunSettings
        What the host reads from ``params``.
    seed : int
        That of the settings; inside the run of another program, the other's.
    may_replace : bool
        Whether it is settled that the run may replace outputs of earlier runs.
    """

    def __init__(
        self,
        program: str,
        params: Params,
        host: PluginHost | None = None,
        show_progress: bool = False,
        cancellation: threading.Event | None = None,
    ) -> None:
        self.program = program
        self.params = params
        self._params_of: dict[tuple[str, str], Params | None] = {}  # every image that is opened asks for all formats
        self.host = host or PluginHost()
        self.log = logging.getLogger(f"spindle.{program}")
        self.tables: list[Table] = []
        self.written: list[Path] = []
        self.settings = RunSettings.of(program, params)
        self.seed = self.settings.seed
        self.may_replace = False
        self._show_progress = show_progress
        self._cancelled = cancellation or threading.Event()
        self._executor: Executor | None = None
        self._rng: np.random.Generator | None = None
        self._packed: bytes | None = None
        self._held = Held(self.log)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process go program, parameters and seed; observers and cancellation stay in this one."""
        if self._packed is None:
            self._packed = pickle.dumps((self.program, self.params, self.seed))
        return _arrived, (self._packed, plugin_files())

    # -- plugins
    # ----------------------------------------------------------------------------------------------------------

    def algorithm(self, slot: str, name: str, params: Params | None = None) -> Handle:
        """Return a plugin, ready to be called.

        Parameters
        ----------
        slot, name : str
        params : Params, optional
            Its parameters; by default those that the run's parameter tree holds for it, else its defaults.

        Returns
        -------
        Handle
            Call the hooks of the slot on it, with arguments by name or in the order of the specification.

        Raises
        ------
        PluginError
        """
        name = str(name)  # the value Auto of a parameter means the plugin that is called so
        return self.host.make(slot, name, self.params_of(slot, name) if params is None else params, self)

    def chosen(self, scope: Params, leaf: str = "") -> Handle:
        """Return the plugin that a scope of the parameters chooses, with the parameters that stand beside the choice.

        Parameters
        ----------
        scope : Params
            For example ``params.integration.background``.
        leaf : str
            Name of the parameter that chooses, where the scope has several.

        Returns
        -------
        Handle
            As of `algorithm`.

        Raises
        ------
        ParameterError
            If the value is None or several plugins, or the scope has no such parameter.
        PluginError
        """
        found = chosen(scope, leaf)
        if len(found) != 1:
            raise ParameterError(
                f"{type(scope).__qualname__}: {len(found)} plugins are chosen where one is needed; name one"
            )
        return self.host.make(found[0].slot, found[0].name, found[0].params, self)

    def params_of(self, slot: str, name: str) -> Params | None:
        """Return the parameters that the run's tree holds for a plugin, or None."""
        key = slot, name
        if key not in self._params_of:
            self._params_of[key] = plugin_scope(self.params, slot, name)
        return self._params_of[key]

    def run_program(
        self,
        name: str,
        experiments: Experiments | None = None,
        reflections: ReflectionTable | Sequence[ReflectionTable] | None = None,
        files: Sequence[Path | str] = (),
        write: bool = False,
        brief: bool = False,
        record: Record | None = None,
        **params: Any,
    ) -> ProgramResult:
        """Run another program on in-memory objects.

        Parameters
        ----------
        name : str
        experiments, reflections, files : optional
            Its input.
        write : bool
            Also write its output files and log, as its command does.
        brief : bool
            Keep what it prints, warnings apart, from the console; its log has it. When it also writes, a line says when it has ended.
        record : Record, optional
            With `write`, also write a run record, as its command does.
        **params
            Dotted names; a whole `Params` tree may be given as ``params=``.

        Returns
        -------
        ProgramResult
        """
        from .outputs import brief_console
        from .steps import run_nested

        start = time.perf_counter()
        speaks = (
            self.program if name != self.program else ""
        )  # a program that runs itself could not be told from what it runs
        with brief_console(speaks) if brief else nullcontext():
            result = run_nested(self, name, experiments, reflections, files, write, params, record)
        if brief and write:
            step = name if record is None else record.path.stem.removeprefix("spindle.")
            self.log.info("  %s has taken %.1f s", step, time.perf_counter() - start)
        return result

    def nested(self, program: str, params: Params) -> RunContext:
        """Return the context of a program inside this run: same plugins, workers, seed and cancellation."""
        inner = RunContext(program, params, self.host, self._show_progress, self._cancelled)
        inner._executor = self.executor
        inner.seed = self.seed
        inner.written = self.written
        inner.may_replace = self.may_replace
        return inner

    # -- workers
    # ----------------------------------------------------------------------------------------------------------

    @property
    def n_workers(self) -> int:
        """Number of workers of the run."""
        return self.executor.n_workers

    @property
    def executor(self) -> Executor:
        """The executor that ``mp.method`` and ``mp.nproc`` chose."""
        if self._executor is None:
            chosen, n_workers, n_jobs = self.settings.executor, self.settings.n_workers, self.settings.n_jobs
            plugin = None
            if chosen.name == DEFAULT_EXECUTOR and n_jobs == 1:  # nothing of it is needed for one worker
                n_workers = n_workers or available_cores()
            if n_workers != 1 or chosen.name != DEFAULT_EXECUTOR:
                plugin = self.algorithm(chosen.slot, chosen.name, chosen.params)
                n_workers = self._count_workers(plugin, n_workers, n_jobs)
            self._executor = Executor(plugin, n_workers, self._cancelled.is_set)
        return self._executor

    def _count_workers(self, plugin: Handle, n_workers: int | None, n_jobs: int) -> int:
        if plugin.declared("uses_jobs"):
            return int(plugin.count_workers(n_workers, n_jobs))
        if n_jobs > 1:
            raise ParameterError(
                f"mp.njobs={n_jobs}: mp.method={plugin.name} has workers on this machine only, as many as mp.nproc says; for jobs of a "
                "queue choose mp.method=slurm, sge, lsf or pbs"
            )
        return n_workers or available_cores()

    def cancel(self) -> None:
        """Ask the run to stop at the next opportunity; may be called from any thread."""
        self._cancelled.set()

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if somebody asked the run to stop."""
        if self._cancelled.is_set():
            raise Cancelled("the run was cancelled")

    # -- what is held
    # -----------------------------------------------------------------------------------------------------------

    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context manager that is left when the program ends, however it ends.

        For plugins that hold a device, a pool of workers or an open file. The last that was entered is left first. A plugin that is made
        again in another process enters there, until that process ends.

        Parameters
        ----------
        manager : context manager

        Returns
        -------
        object
            What its ``__enter__`` returns.
        """
        return self._held.enter(manager)

    def close(self) -> None:
        """Leave what was entered; the host does it when the program has ended. What fails then is logged, no result is lost."""
        self._held.close()

    # -- reporting
    # --------------------------------------------------------------------------------------------------------

    def table(self, table: Table) -> None:
        """Print a table and keep it for the report.

        The log gets all of it. The screen gets the first and last rows of a long one, and with ``-v`` only what is a detail
        (`spindle.report.Table.as_detail`).
        """
        self.tables.append(table)
        self.log.info("%s", table, extra={"log": str(self.settings.log or "")})
        self.notify("table_reported", table=table)

    def progress(self, description: str, total: float | None = None) -> Progress:
        """Return a context manager with ``advance(n)``."""
        return Progress(
            description,
            total,
            self._progressed if self.host.observers else None,
            self._show_progress,
            self.check_cancelled,
        )

    @property
    def shows_progress(self) -> bool:
        """Whether bars are drawn."""
        return self._show_progress

    def _progressed(self, description: str, completed: float, total: float | None) -> None:
        self.notify("progressed", description=description, completed=completed, total=total)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell all observers."""
        self.host.notify(hook, arguments)

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """Ask all observers that implement a hook; return what they answer, in the order of `run.observers`."""
        return [found for _, found in self.host.collect(hook, arguments)]

    @property
    def rng(self) -> np.random.Generator:
        """Random numbers of the run, seeded by ``run.seed``."""
        if self._rng is None:
            import numpy as np

            self._rng = np.random.default_rng(self.seed)
        return self._rng


def _arrived(packed: bytes, files: tuple[PluginFile, ...] = ()) -> RunContext:
    """The context of a run that goes on in another process, with the plugins that the run was given as files."""
    add_plugin_files(files)
    return _of_another_process(packed, registry())


@lru_cache(maxsize=8)
def _of_another_process(packed: bytes, _plugins: object) -> RunContext:
    """The same, made once for all its tasks in this process while the same plugins are installed."""
    program, params, seed = pickle.loads(packed)
    context = RunContext(program, params)
    context.seed = seed
    context._executor = Executor()
    atexit.register(context.close)
    return context
