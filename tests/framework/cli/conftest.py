"""Running the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def spindle(tmp_path):
    """Return a function that runs ``spindle`` in an empty folder, with the trial plugins and others on the path."""

    def run(*words: str, plugins: tuple[str, ...] = ("trial_plugins",), stdin: str = "", **environment: str):
        paths = os.pathsep.join(str(TESTS / p) for p in plugins)
        settings = {**os.environ, "PYTHONPATH": paths, **environment}
        if "SPINDLE_STRICT" not in environment:
            settings.pop("SPINDLE_STRICT", None)
        return subprocess.run(
            [sys.executable, "-m", "spindle.cli.main", *words],
            cwd=tmp_path,
            env=settings,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run
