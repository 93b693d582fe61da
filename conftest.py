"""Settings of the whole suite."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from spindle.execution.compile_cache import prepare_compile_cache
from spindle.plugins import refresh

prepare_compile_cache()  # before any test imports numba

hypothesis.settings.register_profile("any machine", deadline=None)  # how long an example takes is no property
hypothesis.settings.load_profile("any machine")

FOLDER = Path(__file__).parent / "tests"


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
