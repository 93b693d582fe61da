"""Slot ``executor``: where the pieces of a run are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar

from . import hookspec
from .checking import Checks, Fault, integer, kind_of

__all__ = ["Executor", "ExecutorSpec"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """What algorithms map with; `spindle.execution.Executor` is the host's, around the chosen plugin."""

    n_workers: int

    @property
    def here(self) -> Executor:
        """For maps over large arrays in memory: an executor that runs in this process."""

    def map(self, function: Callable[..., Result], items: Iterable[Item], *, shared: Any = ...) -> Iterator[Result]:
        """Apply ``function`` to every item; yield results in the order of the items. With ``shared``, ``function(shared, item)``."""


def check_iterator(arguments: dict[str, Any], result: Any) -> Any:
    """Refuse what cannot be iterated over."""
    if not hasattr(result, "__iter__"):
        raise Fault(f"the result is {kind_of(result)}, an iterator over the results expected")
    return result


def check_count(arguments: dict[str, Any], result: Any) -> Any:
    """Refuse what is no number of workers."""
    integer(result, "the number of workers", 1)
    return result


def as_many(n_workers: int | None, n_jobs: int) -> int:
    """The numbers that were asked for."""
    return (n_workers or 1) * n_jobs


class ExecutorSpec:
    """Hooks of an executor.

    Attributes
    ----------
    leaves_process : bool, declared
        Functions, items and results are sent to other processes. They are pickled with `spindle.execution.pack_function` and its
        companions, which bring log lines, warnings and errors home.
    uses_jobs : bool, declared
        It knows what to do with ``mp.njobs``, and says with `count_workers` how many workers there are.
    """

    checks: ClassVar[Checks] = {"map_ordered": check_iterator, "count_workers": check_count}
    optional: ClassVar[frozenset[str]] = frozenset({"count_workers"})
    defaults: ClassVar[dict[str, Any]] = {"count_workers": as_many}
    declares: ClassVar[dict[str, Any]] = {"leaves_process": False, "uses_jobs": False}

    @hookspec(firstresult=True)
    def count_workers(self, n_workers: int | None, n_jobs: int) -> int:  # type: ignore[empty-body]
        """Return how many workers a run has.

        Parameters
        ----------
        n_workers : int or None
            ``mp.nproc``; None where the user does not say.
        n_jobs : int
            ``mp.njobs``.

        Raises
        ------
        spindle.errors.UserError
            If there cannot be so many.
        """

    @hookspec(firstresult=True)
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        """Apply ``function`` to every item and yield the results in the order of the items.

        Parameters
        ----------
        function : callable
            Pure task. Executors that leave the process pickle it, once for each worker; threads call it as it is.
        items : iterable
            Read lazily: at most a few items per worker are taken ahead of the results.
        n_workers : int
            Number of workers, at least 1.
        cancelled : callable
            True once the run has been cancelled; an executor then starts nothing new.

        Returns
        -------
        iterator
            One result per item. Closing it early abandons what has not started. An exception of ``function`` is raised
            where its result would have been, with a note that names the item (see `spindle.execution.name_item`).
        """
