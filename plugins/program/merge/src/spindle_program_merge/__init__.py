"""The program `merge`."""

from __future__ import annotations

from .program import Merge

__all__ = ["Merge"]
