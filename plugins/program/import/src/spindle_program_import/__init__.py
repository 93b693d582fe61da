"""`spindle import`."""

from __future__ import annotations

from .algorithm import Import

__all__ = ["Import"]
