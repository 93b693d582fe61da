"""Settings of the whole suite."""

from __future__ import annotations

import gc
import os
from collections import Counter
from pathlib import Path

import hypothesis
import pytest

from spindle.errors import PluginError
from spindle.execution.compile_cache import prepare_compile_cache
from spindle.plugins import is_strict, refresh, registry

prepare_compile_cache()  # before any test imports numba

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes is no property
hypothesis.settings.load_profile("any machine")

FOLDER = Path(__file__).parent / "tests"


def pytest_configure():
    """Where any broken plugin is fatal, all are tried here, once for the workers and the programs that tests start."""
    if is_strict():
        try:
            registry().check_all()
        except PluginError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_collection():
    """Sixteen thousand tests are millions of objects that stay: looking for garbage among them again and again would take minutes."""
    gc.disable()


def pytest_collection_finish():
    """From here on only what the tests make is looked through."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Leave out what takes long unless it is asked for: tests marked as long, and of cases of a test marked sampled(n) all but every n-th."""
    if os.environ.get("SPINDLE_LONG_RUNS"):
        return
    cases: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: SPINDLE_LONG_RUNS=1 asks for it"))
        elif sampled := item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            if cases[test] % sampled.args[0]:
                item.add_marker(pytest.mark.skip(reason="one of many cases: SPINDLE_LONG_RUNS=1 asks for all"))
            cases[test] += 1


@pytest.fixture
def install(monkeypatch):
    """Return a function that puts folders with fake installed distributions on the path."""

    def put(*folders: str) -> list[str]:
        paths = [str(FOLDER / folder) for folder in folders]
        for path in paths:
            monkeypatch.syspath_prepend(path)
        refresh()
        return paths

    yield put
    monkeypatch.undo()
    refresh()
