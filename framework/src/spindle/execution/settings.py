"""What the host reads from the parameters of a run: where the work is done, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.params import Auto, Chosen, HostParams, Params, chosen, find_scope
from spindle.params.tree import fields_of, scopes_of

from .outputs import log_path

__all__ = ["DEFAULT_EXECUTOR", "RunSettings"]

DEFAULT_EXECUTOR = "threads"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The host's own settings of one run, taken from the parameter tree once.

    Attributes
    ----------
    seed : int
        Seed of all random numbers, ``run.seed``.
    record : Path or None
        Where the run record goes, ``run.record``; by default beside the log or in the current folder.
    log : Path or None
        Where the log goes, ``output.log``.
    overwrite : bool
        Replace outputs that were made from other data, ``run.overwrite``.
    observers : tuple of Chosen
        ``run.observers`` with their parameters.
    executor : Chosen
        ``mp.method`` with its parameters.
    n_workers : int or None
        ``mp.nproc``, None for Auto.
    n_jobs : int
        ``mp.njobs``.
    """

    seed: int
    record: Path | None
    log: Path | None
    overwrite: bool
    observers: tuple[Chosen, ...]
    executor: Chosen
    n_workers: int | None
    n_jobs: int = 1

    @classmethod
    def of(cls, program: str, params: Params) -> RunSettings:
        """Return the settings in the tree of a program; defaults for scopes that the tree does not have."""
        run = find_scope(params, "run")
        if not isinstance(run, HostParams.run):
            run = HostParams.run()
        log = log_path(program, params)
        record = (log.parent if log else Path()) / f"spindle.{program}.json" if run.record is Auto else run.record
        executor, n_workers, n_jobs = _workers(params)
        return cls(
            int(run.seed),
            None if record is None else Path(record),
            log,
            bool(run.overwrite),
            chosen(run, "observers"),
            executor,
            n_workers,
            n_jobs,
        )


def _workers(params: Params) -> tuple[Chosen, int | None, int]:
    """The executor and the numbers of workers and jobs that the first scope ``mp`` of a tree says."""
    scope: Any = next((s for path, s in scopes_of(params) if path.rpartition(".")[2] == "mp"), None)
    fields = {} if scope is None else fields_of(type(scope))
    named = chosen(scope, "method") if scope is not None and "method" in fields else ()
    nproc = scope.nproc if "nproc" in fields else Auto
    njobs = scope.njobs if "njobs" in fields else 1
    executor = named[0] if named and named[0].name != "none" else Chosen("executor", DEFAULT_EXECUTOR, None)
    return executor, nproc if isinstance(nproc, int) else None, njobs if isinstance(njobs, int) else 1
