"""The array scaling model: factors on grids of resolution, detector position and time."""

from __future__ import annotations

from .algorithm import ArrayScaling

__all__ = ["ArrayScaling"]
