"""Find the spots of a sequence of images."""

from __future__ import annotations

from .program import FindSpots

__all__ = ["FindSpots"]
