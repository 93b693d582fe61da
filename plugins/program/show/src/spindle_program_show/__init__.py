"""`spindle show`."""

from __future__ import annotations

from .program import Show

__all__ = ["Show"]
