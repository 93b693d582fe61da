"""Slot ``executor``: where the pieces of a run are computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Protocol, TypeVar

from . import hookspec
from .checking import Checks, Fault, kind_of

__all__ = ["Executor", "ExecutorSpec"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """What algorithms map with; `spindle.execution.Executor` is the host's, around the chosen plugin."""

    n_workers: int

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply ``function`` to every item; yield results in the order of the items."""


def check_iterator(arguments: dict[str, Any], result: Any) -> Any:
    """Refuse what cannot be iterated over."""
    if not hasattr(result, "__iter__"):
        raise Fault(f"the result is {kind_of(result)}, an iterator over the results expected")
    return result


class ExecutorSpec:
    """Hooks of an executor."""

    checks: ClassVar[Checks] = {"map_ordered": check_iterator}

    @hookspec(firstresult=True)
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        """Apply ``function`` to every item and yield the results in the order of the items.

        Parameters
        ----------
        function : callable
            Pure task. Executors that leave the process pickle it (dask, processes); threads call it as it is.
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
