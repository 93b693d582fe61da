"""Does the pieces of a run in threads of this process, on all cores by default."""

from __future__ import annotations

from .algorithm import ThreadExecutor

__all__ = ["ThreadExecutor"]
