"""The program `spindle refine`."""

from __future__ import annotations

from .algorithm import Refine

__all__ = ["Refine"]
