"""`spindle import`."""

from __future__ import annotations

from .program import Import

__all__ = ["Import"]
