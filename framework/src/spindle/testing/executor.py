"""What every executor must do. Subclass `ExecutorContract` and set ``name``.

>>> class TestMine(ExecutorContract):
...     name = "mine"
"""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.errors import Cancelled, PluginError, UserError
from spindle.execution import Common, Executor
from spindle.params import Params
from spindle.plugins import PluginInfo
from spindle.plugins.host import Handle, PluginHost

from .contract import PluginContract
from .data import make_context

__all__ = ["ExecutorContract"]

N_WORKERS = 3
KILL = 9  # the signal of Unix; elsewhere the process ends with this code, without a word too
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


def added(shared: np.ndarray, item: int) -> int:
    """A task with something that all items share."""
    return int(shared.sum()) + item


def kills_once(folder: str, item: int) -> int:
    """Ends its own process without a word, once, at one item; 20 are done."""
    mark = Path(folder) / "killed"
    if item == 4 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), KILL)
    return item * item


def kills_always(item: int) -> int:
    """Ends its own process without a word, each time at one item."""
    if item == 2:
        os.kill(os.getpid(), KILL)
    return item


def tells(item: int) -> int:
    """Logs and warns."""
    logging.getLogger("spindle.tells").info("item %d", item)
    if item == 3:
        warnings.warn("three is odd", UserWarning, stacklevel=1)
    return item


def refuses(item: int) -> int:
    """An error of the user."""
    raise UserError("nothing to be had; try another")


def interrupts(item: int) -> int:
    """As Ctrl-C inside a task."""
    raise KeyboardInterrupt


class Opened:
    """Counts how often it is unpacked in a process."""

    times = 0

    def __reduce__(self) -> Any:
        return _opened, ()


def _opened() -> Opened:
    Opened.times += 1
    return Opened()


@dataclass(frozen=True)
class HoldsCommon:
    """A function that has something in common with others; gives its result, the process, and how often that was unpacked there."""

    common: Common
    factor: int

    def __call__(self, item: int) -> tuple[int, int, int]:
        assert isinstance(self.common.value, Opened)
        return item * self.factor, os.getpid(), Opened.times


class Unsendable:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def gives_unsendable(item: int) -> Any:
    """A result that cannot be sent."""
    return Unsendable() if item == 1 else item


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
    _made: ClassVar[dict[type, Handle]] = {}

    @pytest.fixture
    def plugin(self, info: PluginInfo, plugin_class: Any, params: Params, request: pytest.FixtureRequest) -> Handle:
        """The plugin, one for all tests of a class: workers of other processes take a while to begin."""
        if reason := plugin_class.unavailable():
            pytest.skip(reason)
        kind = type(self)
        if kind not in self._made:
            context = make_context()
            self._made[kind] = PluginHost().add(info.slot, info.name, plugin_class.from_params(params, context))

            def end() -> None:
                del self._made[kind]
                context.close()

            parent: Any = request.node.getparent(pytest.Class)
            parent.addfinalizer(end)
        return self._made[kind]

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

    def test_what_is_shared_comes_with_each_item(self, plugin: Handle) -> None:
        shared = np.arange(100_000)
        assert list(Executor(plugin, 2).map(added, range(9), shared=shared)) == [
            int(shared.sum()) + i for i in range(9)
        ]

    def test_what_functions_have_in_common_comes_with_each(self, plugin: Handle) -> None:
        common = Common(Opened())
        for factor in (1, 2, 3):
            found = plugin.map_ordered(HoldsCommon(common, factor), range(6), N_WORKERS, bool)
            assert [value for value, _, _ in found] == [factor * i for i in range(6)]

    def test_a_worker_that_is_killed_loses_nothing(self, plugin: Handle, tmp_path: Path) -> None:
        self.only_elsewhere(plugin)
        function = partial(kills_once, str(tmp_path))
        assert list(plugin.map_ordered(function, range(20), N_WORKERS, bool)) == [i * i for i in range(20)]
        assert list(tmp_path.iterdir()), "no worker was killed"

    def test_an_item_that_kills_each_worker_ends_the_run_in_words(self, plugin: Handle) -> None:
        self.only_elsewhere(plugin)
        with pytest.raises(UserError, match=r"workers ended.*item \d"):
            list(plugin.map_ordered(kills_always, range(5), N_WORKERS, bool))
        assert list(plugin.map_ordered(twice, range(5), N_WORKERS, bool)) == [0, 2, 4, 6, 8], "it fails after an error"

    def test_what_workers_tell_is_told_here_in_the_order_of_the_items(
        self, plugin: Handle, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "spindle"), warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert list(plugin.map_ordered(tells, range(8), N_WORKERS, bool)) == list(range(8))
        told = [r.getMessage() for r in caplog.records if r.name == "spindle.tells"]
        assert sorted(told) == [f"item {i}" for i in range(8)]
        if plugin.declared("leaves_process"):
            assert told == [f"item {i}" for i in range(8)]
        assert [str(w.message) for w in warned if w.category is UserWarning] == ["three is odd"]

    def test_an_error_of_the_user_and_an_interrupt_stay_what_they_are(self, plugin: Handle) -> None:
        with pytest.raises(UserError, match="nothing to be had; try another") as error:
            list(plugin.map_ordered(refuses, range(3), N_WORKERS, bool))
        assert type(error.value) is UserError
        with pytest.raises(KeyboardInterrupt):
            list(plugin.map_ordered(interrupts, range(3), N_WORKERS, bool))

    def test_what_cannot_be_sent_is_named(self, plugin: Handle) -> None:
        self.only_elsewhere(plugin)
        with pytest.raises(PluginError, match="cannot be sent"):
            list(plugin.map_ordered(lambda item: item, range(3), N_WORKERS, bool))
        with pytest.raises(PluginError, match="item 1 cannot be sent"):
            list(plugin.map_ordered(twice, [1, Unsendable()], N_WORKERS, bool))
        with pytest.raises(TypeError, match="cannot be sent") as error:
            list(plugin.map_ordered(gives_unsendable, range(3), N_WORKERS, bool))
        assert any("item 1" in note for note in getattr(error.value, "__notes__", []))

    @staticmethod
    def only_elsewhere(plugin: Handle) -> None:
        """Skip what can happen in other processes only."""
        if not plugin.declared("leaves_process"):
            pytest.skip("it does not leave the process")

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
