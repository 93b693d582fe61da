"""What the benchmarks share: commands timed from outside, calls timed from inside, and where the programs are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

# A small process of its own starts the command: the peak memory of a child is never less than its parent's.
WATCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=2, stderr=2)
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
sys.exit(code != 0)
"""


class CommandError(SystemExit):
    """A command failed; ends the benchmark with the end of its output unless it is caught."""


class Run(NamedTuple):
    """A command that has run: seconds, peak memory in MB of its largest process, and what it printed."""

    wall: float
    processor: float
    memory: float
    text: str


def timed(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Run:
    """Run a command that must succeed in a folder, start-up included."""
    watch = [sys.executable, "-I", "-S", "-c", WATCH, *command]
    done = subprocess.run(
        watch, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise CommandError(f"{' '.join(command[:5])} failed:\n{done.stderr[-2000:]}")
    wall, processor, memory = json.loads(done.stdout)
    return Run(wall, processor, memory, done.stderr)


def first_and_best(
    command: list[str], folder: Path, repeat: int, environment: dict[str, str] | None = None
) -> tuple[Run, Run]:
    """The first run of a command, which may compile, and the fastest of ``repeat`` more."""
    first, *others = [timed(command, folder, environment) for _ in range(1 + repeat)]
    return first, min(others, key=lambda run: run.wall, default=first)


def best_of(call: Callable[[], T], repeat: int, clock: Callable[[], float] = time.perf_counter) -> tuple[float, T]:
    """Seconds of the fastest of several calls, and what the last one returned."""
    best = float("inf")
    for _ in range(repeat):
        start = clock()
        result = call()
        best = min(best, clock() - start)
    return best, result


def spindle_program() -> str:
    """The spindle command of this Python, or else the one on the path."""
    beside = Path(sys.executable).with_name("spindle")
    return str(beside) if beside.exists() else shutil.which("spindle") or "spindle"


def dials_python(folder: Path | None = None) -> str | None:
    """A Python that can import dials: in the folder of the DIALS commands, or else on the path or the system's."""
    if folder is None:
        found = shutil.which("dials.python")
        if found:
            return found
        folder = Path("/usr/bin")
    return next((str(folder / name) for name in ("dials.python", "python3.11") if (folder / name).exists()), None)


def dials_environment(folder: Path) -> dict[str, str]:
    """Environment for DIALS commands in a folder: without what belongs to the Python that runs the benchmark."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    return {k: v for k, v in os.environ.items() if k not in ours} | {"PATH": f"{folder.absolute()}:/usr/bin:/bin"}


def run_in_dials(python: str, script: str, *arguments: str) -> Any:
    """Run a script in a Python that has dials; what it printed in JSON on a line that starts with RESULT."""
    command = [python, "-c", script, *arguments]
    environment = dials_environment(Path(shutil.which(python) or python).parent)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if done.returncode or not lines:
        raise CommandError(f"DIALS failed:\n{done.stderr[-2000:]}")
    return json.loads(lines[-1].removeprefix("RESULT"))
