"""Does the pieces of a run in other processes of this machine."""

from __future__ import annotations

from .algorithm import ProcessesExecutor

__all__ = ["ProcessesExecutor"]
