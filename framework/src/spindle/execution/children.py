"""Processes that a run starts."""

from __future__ import annotations

import os
import sys

__all__ = ["module_command", "program_command"]

_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")


def module_command(module: str, *words: str) -> list[str]:
    """Command line that runs a module in another process of this Python.

    The process ends when this one does, also when this one is killed: start it in a thread that waits for it, since on Linux the
    thread counts. The current folder stays off its path: what lies beside the images must not be imported.

    Parameters
    ----------
    module : str
        Dotted name, as after ``python -m``.
    *words : str
        Its arguments.
    """
    return [sys.executable, "-I" if sys.flags.isolated else "-P", _CHILD, str(os.getpid()), "-m", module, *words]


def program_command(path: str, *words: str) -> list[str]:
    """Command line that runs a program of others, which ends when this process does; as `module_command`.

    Parameters
    ----------
    path : str
        Of the program.
    *words : str
        Its arguments.
    """
    if sys.platform == "win32":
        return [path, *words]
    return [sys.executable, "-I", "-S", _CHILD, str(os.getpid()), os.path.abspath(path), *words]
