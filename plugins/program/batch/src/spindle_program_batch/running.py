"""One data set in a process of its own."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from spindle.execution import module_command

from .sets import DataSet

__all__ = ["Outcome", "RunSet", "stop_all"]

LOG = "batch.log"
_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of a set ended.

    Attributes
    ----------
    name : str
    exit_code : int
    seconds : float
    message : str
        What it said on standard error.
    """

    name: str
    exit_code: int
    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class RunSet:
    """The task: process a set in its folder; it leaves its log there, as ``batch.log``.

    Attributes
    ----------
    folder : str
        Absolute path of the folder of all sets.
    words : tuple of str
        Parameters of process that all sets have in common; those of a set come after them.
    """

    folder: str
    words: tuple[str, ...]

    def __call__(self, one: DataSet) -> Outcome:
        here = Path(self.folder) / one.name
        here.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        command = module_command("spindle.cli.main", "process", "-i", *self.words, *one.words)
        with open(here / LOG, "wb") as log:
            child = subprocess.Popen(
                command, cwd=here, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.PIPE,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
            with _lock:
                _running.add(child)
            try:
                _, errors = child.communicate("\n".join(one.files).encode())
            finally:
                with _lock:
                    _running.discard(child)
                if child.poll() is None:
                    child.terminate()
                    child.wait()
        message = errors.decode(errors="replace").strip()
        return Outcome(one.name, child.returncode, time.monotonic() - began, message)


def stop_all() -> None:
    """End the runs that this process has started."""
    with _lock:
        children = list(_running)
    for child in children:
        child.terminate()
