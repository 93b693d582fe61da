"""What every executor must do. Subclass `ExecutorContract` and set ``name``.

>>> class TestMine(ExecutorContract):
...     name = "mine"
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
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


def stops_at_five(item: int) -> int:
    """Raises what would end a loop without a word."""
    if item == 5:
        raise StopIteration
    return item


def twice(item: Any) -> Any:
    """Numbers, texts and arrays, doubled."""
    return item * 2 if item is not None else None


def busy(item: int) -> tuple[int, int]:
    """How many items are worked on in this process while this one is, at most."""
    with _lock:
        _busy.append(item)
        most = len(_busy)
    time.sleep(0.002)
    with _lock:
        most = max(most, len(_busy))
        _busy.remove(item)
    return item, most


_busy: list[int] = []
_lock = threading.Lock()


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

    def test_no_more_items_are_worked_on_than_there_are_workers(self, plugin: Handle) -> None:
        for n_workers in (1, 2):
            results = list(plugin.map_ordered(busy, range(30), n_workers, bool))
            assert [item for item, _ in results] == list(range(30))
            assert max(most for _, most in results) <= n_workers

    def test_results_may_be_anything(self, plugin: Handle) -> None:
        items = [0, 1, "", "a", False, None, 2.5, (), (1,), np.arange(3), np.zeros((0, 2)), 0]
        results = list(plugin.map_ordered(twice, iter(items), N_WORKERS, bool))
        assert len(results) == len(items)
        for item, result in zip(items, results, strict=True):
            if isinstance(item, np.ndarray):
                assert np.array_equal(result, item * 2)
            else:
                assert result == twice(item) and type(result) is type(twice(item))

    def test_each_map_is_a_new_one(self, plugin: Handle) -> None:
        one = iter(plugin.map_ordered(long_first, range(20), N_WORKERS, bool))
        first = next(one)
        other = list(plugin.map_ordered(fails_at_seven, range(7), N_WORKERS, bool))
        assert other == [i * i for i in range(7)], "two maps at the same time disturb each other"
        assert [first, *one] == [long_first(i) for i in range(20)]
        with pytest.raises(ValueError, match="seven"):
            list(plugin.map_ordered(fails_at_seven, range(20), N_WORKERS, bool))
        assert list(plugin.map_ordered(twice, range(5), N_WORKERS, bool)) == [0, 2, 4, 6, 8], "it fails after an error"

    def test_an_error_does_not_end_the_loop_without_a_word(self, plugin: Handle) -> None:
        with pytest.raises((RuntimeError, StopIteration)):
            assert len(list(plugin.map_ordered(stops_at_five, range(10), N_WORKERS, bool))) == 10

    def test_no_item_is_begun_after_an_error(self, plugin: Handle) -> None:
        items = Counted(1000)
        with pytest.raises(ValueError, match="seven"):
            list(plugin.map_ordered(fails_at_seven, iter(items), N_WORKERS, bool))
        assert items.taken <= 8 + AHEAD_PER_WORKER * N_WORKERS

    def test_a_run_that_was_cancelled_before_does_nothing(self, plugin: Handle) -> None:
        items = Counted(1000)
        with pytest.raises(Cancelled):
            list(plugin.map_ordered(nothing, iter(items), N_WORKERS, lambda: True))
        assert items.taken <= 1 + AHEAD_PER_WORKER * N_WORKERS

    def test_nothing_is_left_running(self, plugin: Handle) -> None:
        before = set(threading.enumerate())
        list(plugin.map_ordered(long_first, range(8), N_WORKERS, bool))
        results = iter(plugin.map_ordered(long_first, range(50), N_WORKERS, bool))
        next(results)
        if hasattr(results, "close"):
            results.close()
        end = time.monotonic() + 10.0
        while (left := [t for t in set(threading.enumerate()) - before if not t.daemon]) and time.monotonic() < end:
            time.sleep(0.01)
        assert not left, f"threads go on after the map: {left}"
