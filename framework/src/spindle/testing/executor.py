"""What every executor must do. Subclass `ExecutorContract` and set ``name``.

>>> class TestMine(ExecutorContract):
...     name = "mine"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from spindle.errors import Cancelled
from spindle.execution import Executor
from spindle.plugins.host import Handle

from .contract import PluginContract

__all__ = ["ExecutorContract"]

N_WORKERS = 3
# items that may be begun or wait for each worker before the first result is taken
AHEAD_PER_WORKER = 5


def long_first(item: int) -> tuple[int, int]:
    """Work that takes the longer the earlier the item."""
    total = 0
    for i in range(30_000 // (item + 1)):
        total += i & item
    return item, total


def fails_at_seven(item: int) -> int:
    """Square, but for one item."""
    if item == 7:
        raise ValueError("seven is no number")
    return item * item


def nothing(item: int) -> None:
    """A task without a result."""


class Counted:
    """Items that know how many of them were taken."""

    def __init__(self, n: int) -> None:
        self.n, self.taken = n, 0

    def __iter__(self) -> Iterator[int]:
        for i in range(self.n):
            self.taken += 1
            yield i


class ExecutorContract(PluginContract):
    """Order, errors, laziness, cancellation."""

    slot: ClassVar[str] = "executor"

    def test_results_come_in_the_order_of_the_items(self, plugin: Handle) -> None:
        items = list(range(40))
        assert list(plugin.map_ordered(long_first, items, N_WORKERS, bool)) == [long_first(i) for i in items]

    @pytest.mark.parametrize("n_workers", [1, N_WORKERS])
    @pytest.mark.parametrize("n", [0, 1, 2, 30])
    def test_each_item_has_one_result_also_none(self, plugin: Handle, n: int, n_workers: int) -> None:
        assert list(plugin.map_ordered(nothing, range(n), n_workers, bool)) == [None] * n

    def test_an_error_is_raised_in_the_place_of_its_result_and_names_the_item(self, plugin: Handle) -> None:
        found = []
        with pytest.raises(ValueError, match="seven is no number") as error:
            found.extend(plugin.map_ordered(fails_at_seven, range(20), N_WORKERS, bool))
        results = iter(plugin.map_ordered(fails_at_seven, range(20), N_WORKERS, bool))
        assert [next(results) for _ in range(7)] == [i * i for i in range(7)]
        notes = getattr(error.value, "__notes__", [])
        assert any("while working on item 7" in note for note in notes), f"no note names the item: {notes}"

    def test_an_error_of_the_items_is_not_lost(self, plugin: Handle) -> None:
        def items() -> Iterator[int]:
            yield from range(5)
            raise RuntimeError("no more items")

        with pytest.raises(RuntimeError, match="no more items"):
            list(plugin.map_ordered(nothing, items(), N_WORKERS, bool))

    def test_items_are_taken_as_results_are(self, plugin: Handle) -> None:
        items = Counted(1000)
        results = iter(plugin.map_ordered(fails_at_seven, iter(items), N_WORKERS, bool))
        for n_results in range(1, 6):
            next(results)
            assert items.taken <= n_results + AHEAD_PER_WORKER * N_WORKERS
        if hasattr(results, "close"):
            results.close()
        assert items.taken <= 5 + AHEAD_PER_WORKER * N_WORKERS

    def test_nothing_new_is_begun_after_the_run_was_cancelled(self, plugin: Handle) -> None:
        items = Counted(1000)
        done: list[None] = []

        def run() -> None:
            for result in plugin.map_ordered(nothing, iter(items), N_WORKERS, lambda: len(done) >= 3):
                done.append(result)

        with pytest.raises(Cancelled):
            run()
        assert items.taken <= 4 + AHEAD_PER_WORKER * N_WORKERS

    def test_the_host_maps_with_it(self, plugin: Handle) -> None:
        executor = Executor(plugin, N_WORKERS)
        assert list(executor.map(abs, range(-3, 3))) == [3, 2, 1, 0, 1, 2]
