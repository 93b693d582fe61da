from __future__ import annotations

import threading
import time

import pytest

from spindle.errors import Cancelled, PluginError
from spindle.execution import Common, Executor, RunContext, is_inside_worker, pack_apart, pack_function
from spindle.execution.executor import name_item
from spindle.params import HostParams, make


def executor(method: str, n_workers: int) -> Executor:
    return RunContext("test", make(HostParams, **{"mp.method": method, "mp.nproc": n_workers})).executor


@pytest.fixture(params=[("serial", 1), ("serial", 3), ("threads", 1), ("threads", 2), ("threads", 5)], ids=str)
def any_executor(request):
    return executor(*request.param)


def test_results_come_in_the_order_of_the_items(any_executor):
    waits = [(13 * i) % 5 for i in range(40)]

    def work(i):
        time.sleep(waits[i] * 1e-4)
        return i

    assert list(any_executor.map(work, range(40))) == list(range(40))


def test_items_are_read_lazily(any_executor):
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    results = any_executor.map(lambda i: i, items())
    for _ in range(10):
        next(results)
    assert len(taken) <= 10 + 2 * any_executor.n_workers + 1
    results.close()


def test_exceptions_name_the_item(any_executor):
    def work(i):
        if i == 7:
            raise ZeroDivisionError("no")
        return i

    results = any_executor.map(work, range(100))
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(ZeroDivisionError) as error:
        next(results)
    assert error.value.__notes__ == ["while working on item 7: 7"]


def test_items_that_say_nothing_are_not_printed():
    error = ValueError("no")
    name_item(error, 3, (object(), 0))
    assert error.__notes__ == ["while working on item 3"]


def test_an_early_stop_starts_nothing_new():
    begun = []

    def work(i):
        begun.append(i)
        return i

    results = executor("threads", 2).map(work, range(1000))
    next(results)
    results.close()
    assert len(begun) < 20


def test_threads_work_at_the_same_time():
    meet = threading.Barrier(3, timeout=10)
    list(executor("threads", 3).map(lambda _: meet.wait(), range(3)))


def test_a_map_inside_a_map_stays_in_its_thread():
    many = executor("threads", 2)

    def work(i):
        assert is_inside_worker()
        here = threading.get_ident()
        return all(t == here for t in many.map(lambda _: threading.get_ident(), range(4)))

    assert all(many.map(work, range(4)))
    assert not is_inside_worker()


@pytest.mark.parametrize("method", ["serial", "threads"])
def test_cancellation_stops_the_map(method):
    context = RunContext("test", make(HostParams, **{"mp.method": method, "mp.nproc": 2}))
    results = context.executor.map(lambda i: i, range(1000))
    next(results)
    context.cancel()
    with pytest.raises(Cancelled):
        list(results)
    with pytest.raises(Cancelled):
        context.check_cancelled()


def test_all_cores_are_the_default():
    from spindle.execution import available_cores

    assert RunContext("test", make(HostParams)).n_workers == available_cores()


class _Holds:
    def __init__(self, common):
        self.common = common

    def __call__(self, item):
        return item + len(self.common.value)


def test_what_functions_have_in_common_travels_beside_them():
    common = Common(b"x" * 100_000)
    packed, beside = pack_apart(_Holds(common))
    assert len(packed) < 20_000 and [len(content) > 100_000 for content in beside.values()] == [True]
    assert len(pack_function(_Holds(common))) > 100_000, "those who do not know better get all of it"
    assert Common(b"x" * 100_000).packed() == common.packed(), "its name is that of the content"


def test_what_cannot_travel_is_named_where_functions_have_it_in_common():
    with pytest.raises(PluginError, match="what tasks have in common"):
        pack_apart(_Holds(Common(lambda: 0)))
