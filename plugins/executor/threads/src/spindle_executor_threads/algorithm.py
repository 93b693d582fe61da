"""The thread executor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.errors import Cancelled
from spindle.execution import run_item

ITEMS_AHEAD_PER_WORKER = 2


class ThreadExecutor(Algorithm):
    """Does items in threads and yields the results in order."""

    @hookimpl
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        return _map_in_threads(function, items, n_workers, cancelled)


def _map_in_threads(
    function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
) -> Iterator[Any]:
    """Yield results in order with at most ``2 n_workers + 1`` items begun and not yet yielded."""
    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="spindle")
    in_flight: deque[Future[Any]] = deque()
    limit = ITEMS_AHEAD_PER_WORKER * n_workers + 1
    try:
        for index, item in enumerate(items):
            if cancelled():
                raise Cancelled("the run was cancelled")
            in_flight.append(pool.submit(run_item, function, index, item))
            if len(in_flight) >= limit:
                yield in_flight.popleft().result()
        while in_flight:
            if cancelled():
                raise Cancelled("the run was cancelled")
            yield in_flight.popleft().result()
    finally:
        # Reached at the end, on an error, on Ctrl-C and when the consumer stops early. Threads that are in the middle
        # of an item finish it; waiting for them here would make an interrupt slow.
        pool.shutdown(wait=False, cancel_futures=True)
