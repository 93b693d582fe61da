"""The thread executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.execution import map_threads


class ThreadExecutor(Algorithm):
    """Does items in threads and yields the results in order."""

    @hookimpl
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        return map_threads(function, items, n_workers, cancelled)
