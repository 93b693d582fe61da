"""The serial executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.execution import map_serial


class SerialExecutor(Algorithm):
    """Does one item after the other."""

    @hookimpl
    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        return map_serial(function, items, cancelled)
