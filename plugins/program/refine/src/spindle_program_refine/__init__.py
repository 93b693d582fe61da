"""The program `spindle refine`."""

from __future__ import annotations

from .program import Refine

__all__ = ["Refine"]
