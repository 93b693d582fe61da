"""Running DIALS from tests that compare with it; they are skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["dials", "dials_python"]

_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])


def _find(program: str) -> str:
    import pytest

    path = shutil.which(program, path=_SEARCH)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def _run(path: str, words: tuple[object, ...], cwd: Path) -> str:
    """Run a command outside of our own environment; return its output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environment["PATH"] = os.pathsep.join([os.path.dirname(path), "/usr/bin", "/bin"])
    done = subprocess.run(
        [path, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def dials(program: str, *words: object, cwd: Path) -> str:
    """Run a DIALS program; return its output.

    Parameters
    ----------
    program : str
        ``dials.import``, for example.
    *words
        Its arguments.
    cwd : Path
        Folder to run it in.
    """
    return _run(_find(program), words, cwd)


def dials_python(*words: object, cwd: Path) -> str:
    """Run the Python that DIALS runs in; return its output."""
    path = shutil.which("dials.python", path=_SEARCH)
    if path is None:
        # Distributions of Linux have no dials.python: the programs themselves name their Python.
        with open(_find("dials.import"), "rb") as stream:
            first = stream.readline().decode("latin-1").strip()
        path = first.removeprefix("#!").split()[0] if first.startswith("#!") and "python" in first else None
    if path is None:
        import pytest

        pytest.skip("the Python of DIALS is not found (no dials.python)")
    return _run(path, words, cwd)
