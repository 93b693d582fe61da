"""Strong pixels by the variance and mean of their surroundings."""

from __future__ import annotations

from .algorithm import DispersionThreshold

__all__ = ["DispersionThreshold"]
