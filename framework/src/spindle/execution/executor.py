"""Mapping pure tasks over items: in order, bounded, cancellable."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Any, TypeVar

from spindle.errors import Cancelled, UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

ITEMS_AHEAD_PER_WORKER = 2
SECONDS_BETWEEN_LOOKS = 0.1
_NOTHING: Any = object()
_worker = threading.local()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def name_item(error: BaseException, index: int, item: Any) -> None:
    """Add to ``error`` a note saying which item it came from; only the innermost map names its item.

    A message for users says what is wrong and where; which rows a worker had at that moment tells them nothing.
    """
    if isinstance(item, range) and isinstance(error, UserError):
        return
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


def map_ordered(
    submit: Callable[[int, Item], Future[Result]], items: Iterable[Item], n_workers: int, cancelled: Callable[[], bool]
) -> Iterator[Result]:
    """Yield results in order with at most ``2 n_workers + 1`` items begun and not yet yielded; for executors.

    Parameters
    ----------
    submit : callable
        Begins an item, of which it gets the number too.
    items, n_workers, cancelled
        See `spindle.contracts.executor.ExecutorSpec.map_ordered`.
    """
    in_flight: deque[Future[Result]] = deque()
    limit = ITEMS_AHEAD_PER_WORKER * n_workers + 1
    for index, item in enumerate(items):
        _look(cancelled)
        in_flight.append(submit(index, item))
        if len(in_flight) >= limit:
            yield _wait(in_flight.popleft(), cancelled)
    while in_flight:
        _look(cancelled)
        yield _wait(in_flight.popleft(), cancelled)


def _look(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled("the run was cancelled")


def _wait(future: Future[Result], cancelled: Callable[[], bool]) -> Result:
    """The result, unless the run is cancelled before it is there."""
    while True:
        try:
            return future.result(SECONDS_BETWEEN_LOOKS)
        except NotYet:
            if future.done():  # by now, or with this very error
                return future.result()
            _look(cancelled)


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], n_workers: int, cancelled: Callable[[], bool]
) -> Iterator[Result]:
    """Apply ``function`` to several items at once, in threads of this process."""
    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="spindle")

    def submit(index: int, item: Item) -> Future[Result]:
        return pool.submit(run_item, function, index, item)

    try:
        yield from map_ordered(submit, items, n_workers, cancelled)
    finally:
        # Reached at the end, on an error, on Ctrl-C and when the consumer stops early. Threads that are in the middle
        # of an item finish it; waiting for them here would make an interrupt slow.
        pool.shutdown(wait=False, cancel_futures=True)


class _Threads:
    """The executor plugin of `Executor.here`."""

    map_ordered = staticmethod(map_threads)

    @staticmethod
    def declared(name: str) -> bool:
        """Nothing beyond what is usual."""
        return False

    @staticmethod
    def broken(hook: str, fault: str) -> RuntimeError:
        """What is said of a fault."""
        return RuntimeError(f"{hook}: {fault}")


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

    @property
    def leaves_process(self) -> bool:
        """Whether functions, items and results travel to other processes."""
        return not self._is_alone and bool(self.plugin.declared("leaves_process"))

    @property
    def _is_alone(self) -> bool:
        """Whether there is nobody but this thread; one worker of a queue is somebody."""
        return self.plugin is None or (self.n_workers == 1 and not self.plugin.declared("uses_jobs"))

    @property
    def here(self) -> Executor:
        """The executor for maps over large arrays that are in memory already: this one, or threads in place of one that leaves the process."""
        if not self.leaves_process:
            return self
        return Executor(_Threads(), min(self.n_workers, available_cores()), self.cancelled)

    def limited(self, n_workers: int) -> Executor:
        """The same with another number of workers."""
        return self if self.plugin is None else Executor(self.plugin, n_workers, self.cancelled)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process, one item is done after the other."""
        return Executor, ()

    def map(
        self, function: Callable[..., Result], items: Iterable[Item], *, shared: Any = _NOTHING
    ) -> Iterator[Result]:
        """Apply ``function`` to every item; yield results in the order of the items.

        Items are read lazily and only a few per worker are in flight, so results of any number of items need bounded
        memory. A map inside the function of another map runs in the thread that called it.

        Parameters
        ----------
        function : callable
            Pure task, a function or frozen dataclass at the top of a module. It travels once to each worker, with what it holds.
        items : iterable
            Small, if they are to travel.
        shared : object, optional
            What all items need; ``function(shared, item)`` is called then.

        Raises
        ------
        Cancelled
            When the run was cancelled.
        Exception
            Whatever ``function`` raised, with a note that names the item.
        """
        if shared is not _NOTHING:
            function = partial(function, shared)
        if self._is_alone or is_inside_worker():
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
