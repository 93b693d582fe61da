"""Processes of Python that a run starts."""

from __future__ import annotations

import sys

__all__ = ["module_command"]


def module_command(module: str, *words: str) -> list[str]:
    """Command line that runs a module in another process of this Python.

    The current folder stays off its path: what lies beside the images must not be imported.

    Parameters
    ----------
    module : str
        Dotted name, as after ``python -m``.
    *words : str
        Its arguments.
    """
    return [sys.executable, "-I" if sys.flags.isolated else "-P", "-m", module, *words]
