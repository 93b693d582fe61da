"""Mapping pure tasks over items: in order, bounded, cancellable."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from spindle.errors import Cancelled

Item = TypeVar("Item")
Result = TypeVar("Result")

_worker = threading.local()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def name_item(error: BaseException, index: int, item: Any) -> None:
    """Add to ``error`` a note saying which item it came from; only the innermost map names its item."""
    if not any(note.startswith("while working on") for note in getattr(error, "__notes__", ())):
        text = repr(item)
        if " object at 0x" in text:  # tells nobody anything
            error.add_note(f"while working on item {index}")
        else:
            error.add_note(f"while working on item {index}: {text if len(text) <= 100 else text[:97] + '...'}")


def run_item(function: Callable[[Item], Result], index: int, item: Item) -> Result:
    """Call ``function``; an exception leaves with the name of the item. A map inside runs in the same thread."""
    was_inside = getattr(_worker, "inside", False)
    _worker.inside = True
    try:
        return function(item)
    except Exception as error:
        name_item(error, index, item)
        raise
    finally:
        _worker.inside = was_inside


def is_inside_worker() -> bool:
    """Return whether this thread is working on an item of a map."""
    return bool(getattr(_worker, "inside", False))


def map_serial(
    function: Callable[[Item], Result], items: Iterable[Item], cancelled: Callable[[], bool] = lambda: False
) -> Iterator[Result]:
    """Apply ``function`` to one item after the other."""
    for index, item in enumerate(items):
        if cancelled():
            raise Cancelled("the run was cancelled")
        yield run_item(function, index, item)


class Executor:
    """What programs and algorithms map with: ``for result in executor.map(function, items)``.

    Parameters
    ----------
    plugin : object, optional
        Implementation of the slot ``executor``; without one, items are done one after the other.
    n_workers : int
        Number of workers, at least 1.
    cancelled : callable
        True once the run is cancelled.
    """

    def __init__(self, plugin: Any = None, n_workers: int = 1, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.plugin = plugin
        self.n_workers = n_workers
        self.cancelled = cancelled

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Apply ``function`` to every item; yield results in the order of the items.

        Items are read lazily and only a few per worker are in flight, so results of any number of items need bounded
        memory. A map inside the function of another map runs in the thread that called it.

        Raises
        ------
        Cancelled
            When the run was cancelled.
        Exception
            Whatever ``function`` raised, with a note that names the item.
        """
        if self.plugin is None or self.n_workers == 1 or is_inside_worker():
            return map_serial(function, items, self.cancelled)
        return self._counted(function, items)

    def _counted(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The plugin's results; one result per item, and no error lost."""
        taken = 0

        def counting() -> Iterator[Item]:
            nonlocal taken
            for item in items:
                taken += 1
                yield item

        source = counting()
        given = 0
        results = self.plugin.map_ordered(function, source, self.n_workers, self.cancelled)
        try:
            for result in results:
                given += 1
                if given > taken:
                    break
                yield result
            else:
                if not self.cancelled():
                    next(source, None)  # counts an item that the executor has not even looked at
        finally:
            if hasattr(results, "close"):
                results.close()
        if given != taken and not self.cancelled():
            fault = f"it gives {given} results for {taken} or more items; one for each expected, in their order"
            raise self.plugin.broken("map_ordered", fault)
