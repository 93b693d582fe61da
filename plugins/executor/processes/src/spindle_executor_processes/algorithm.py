"""The executor of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.execution import map_ordered, pack_apart, pack_item, unpack

from .pool import Pool


class ProcessesExecutor(Algorithm):
    """Does items in processes of this machine and yields the results in order."""

    leaves_process = True

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._pool: Pool | None = None

    @hookimpl
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        if self._pool is None:
            self._pool = Pool()
            if self.context is not None:
                self.context.enter(self._pool)
        return map_in_processes(self._pool, function, items, n_workers, cancelled)


def map_in_processes(
    pool: Pool,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    n_workers: int,
    cancelled: Callable[[], bool],
) -> Iterator[Any]:
    """Yield results in order with at most ``2 n_workers + 1`` items begun and not yet yielded.

    When the consumer stops early, items that nobody has begun are dropped; the others are finished and forgotten.
    """
    job = pool.open(*pack_apart(function), n_workers)

    def submit(index: int, item: Any) -> Any:
        return job.submit(index, pack_item(index, item), partial(repr, item))

    try:
        for outcome in map_ordered(submit, items, n_workers, cancelled):
            yield unpack(outcome)
    finally:
        job.close()
