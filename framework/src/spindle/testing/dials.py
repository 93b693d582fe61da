"""Running DIALS from tests that compare with it; they are skipped where it is not installed."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["dials", "dials_python"]

_SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin"])


def _find(program: str) -> str:
    import pytest

    path = shutil.which(program, path=_SEARCH)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def _python_of(path: str) -> str | None:
    """The Python that a program's first line names; none where it is no script of Python."""
    with open(path, "rb") as stream:
        first = stream.readline().decode("latin-1").strip()
    named = first.removeprefix("#!").split() if first.startswith("#!") else []
    return named[0] if named and "python" in Path(named[0]).name else None


@dataclass
class _Started:
    """A DIALS that has imported what its programs have in common; children of it do the commands, each in a tenth of the time.

    Attributes
    ----------
    process : subprocess.Popen
        That of `spindle.testing.dials_starter`.
    """

    process: subprocess.Popen[str]

    def run(self, words: list[str], cwd: Path, environment: dict[str, str]) -> tuple[int, str, str]:
        """Do a command; return the exit code and what it printed to the two streams."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with tempfile.TemporaryDirectory(prefix="dials-") as name:
            places = [Path(name, stream) for stream in ("output", "errors")]
            command = {"words": words, "cwd": str(Path(cwd).resolve()), "environment": environment}
            files = {p.name: str(p) for p in places}
            print(json.dumps(command | files), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
            assert answer, f"DIALS has ended before {words} had"
            output, errors = (p.read_text(errors="replace") if p.exists() else "" for p in places)
        return int(answer), output, errors

    def end(self) -> None:
        """Let it end."""
        self.process.communicate()


@cache
def _started(python: str) -> _Started | None:
    """One DIALS for this process; none where it does not start, or where there is no fork."""
    if os.name != "posix":
        return None
    process = subprocess.Popen(
        [python, str(Path(__file__).with_name("dials_starter.py"))], env=_environment(python), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    started = _Started(process)
    atexit.register(started.end)
    return started if process.stdout is not None and process.stdout.readline() == "ready\n" else None


def _environment(path: str) -> dict[str, str]:
    """Variables for a program outside of our own environment."""
    ours = (
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "PYTHONPYCACHEPREFIX",
    )  # DIALS is installed with compiled sources beside its own
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    environment["PATH"] = os.pathsep.join([os.path.dirname(path), "/usr/bin", "/bin"])
    return environment


def _run(path: str, python: str | None, words: list[str], cwd: Path) -> str:
    """Run words, after a Python if it is given, in the environment of a program; return what they print."""
    environment = _environment(path)
    if python and (started := _started(python)):
        code, output, errors = started.run(words, cwd, environment)
    else:
        command = [python, *words] if python else words
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        code, output, errors = done.returncode, done.stdout, done.stderr
    assert code == 0, output[-2000:] + errors[-2000:]
    return output


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
    path = _find(program)
    return _run(path, _python_of(path), [path, *map(str, words)], cwd)


def dials_python(*words: object, cwd: Path) -> str:
    """Run the Python that DIALS runs in; return its output."""
    path = shutil.which("dials.python", path=_SEARCH)
    if path is None:
        # Distributions of Linux have no dials.python: the programs themselves name their Python.
        path = _python_of(_find("dials.import"))
    if path is None:
        import pytest

        pytest.skip("the Python of DIALS is not found (no dials.python)")
    return _run(path, path, [str(w) for w in words], cwd)
