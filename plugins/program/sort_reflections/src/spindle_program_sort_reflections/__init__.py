"""Sort reflections by a column."""

from __future__ import annotations

from .program import SortReflections

__all__ = ["SortReflections"]
