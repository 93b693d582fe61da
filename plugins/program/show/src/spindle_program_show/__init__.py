"""`spindle show`."""

from __future__ import annotations

from .algorithm import Show

__all__ = ["Show"]
