"""Find the spots of a sequence of images."""

from __future__ import annotations

from .algorithm import FindSpots

__all__ = ["FindSpots"]
