"""All executors pass the contract of their slot; faulty ones do not."""

from __future__ import annotations

import pytest

from spindle.contracts import hookimpl
from spindle.errors import PluginError
from spindle.execution import Executor
from spindle.plugins.host import PluginHost
from spindle.testing.executor import ExecutorContract


class TestSerial(ExecutorContract):
    name = "serial"


class TestThreads(ExecutorContract):
    name = "threads"


class TestParcels(ExecutorContract):
    """One that sends every task and result through pickle."""

    name = "parcels"

    @pytest.fixture(autouse=True)
    def trial(self, install):
        install("trial_plugins")


class Loses:
    """Gives one result too few."""

    def map_ordered(self, function, items):
        return [function(i) for i in items][:-1]


class Invents:
    """Gives one result too many."""

    def map_ordered(self, function, items):
        return [*(function(i) for i in items), 0]


class Stops:
    """Does not even look at the last items."""

    def map_ordered(self, function, items):
        return [function(i) for i, _ in zip(items, range(3), strict=False)]


@pytest.mark.parametrize("faulty", [Loses, Invents, Stops])
def test_an_executor_that_loses_or_invents_results_is_named(faulty):
    kind = type(faulty.__name__, (), {"map_ordered": hookimpl(faulty.map_ordered), "params": None, "context": None})
    handle = PluginHost().add("executor", "faulty", kind())
    with pytest.raises(
        PluginError, match=r"executor 'faulty'.*map_ordered breaks its contract: it gives \d results for \d"
    ):
        list(Executor(handle, 2).map(abs, range(6)))
