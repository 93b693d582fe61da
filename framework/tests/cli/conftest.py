"""Running the command line, inside this process or in one of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.plugins import refresh

TESTS = Path(__file__).resolve().parents[3] / "tests"


@pytest.fixture
def spindle(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``spindle`` in an empty folder, with the trial plugins and others on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPINDLE_STRICT", raising=False)

    def run(*words: str, plugins: tuple[str, ...] = ("trial_plugins",), stdin: str = "", **environment: str):
        with monkeypatch.context() as patch:
            for folder in plugins:
                patch.syspath_prepend(str(TESTS / folder))
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            refresh()
            capsys.readouterr()
            code = main(words)
        refresh()
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, captured.out, captured.err)

    return run


@pytest.fixture
def spindle_process(tmp_path):
    """Return a function that runs ``spindle`` in an empty folder in a process of its own."""

    def run(*words: str, **environment: str):
        settings = {**os.environ, "PYTHONPATH": str(TESTS / "trial_plugins"), **environment}
        if "SPINDLE_STRICT" not in environment:
            settings.pop("SPINDLE_STRICT", None)
        command = [sys.executable, "-m", "spindle.cli.main", *words]
        return subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)

    return run
