"""Select reflections by flags, columns, resolution and rules."""

from __future__ import annotations

from .program import FilterReflections

__all__ = ["FilterReflections"]
