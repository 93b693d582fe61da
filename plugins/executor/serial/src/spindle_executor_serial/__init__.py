"""Does the pieces of a run one after the other, in the calling thread."""

from __future__ import annotations

from .algorithm import SerialExecutor

__all__ = ["SerialExecutor"]
