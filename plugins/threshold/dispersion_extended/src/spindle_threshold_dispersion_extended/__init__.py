"""Strong pixels by the mean of surroundings from which the spots were taken out."""

from __future__ import annotations

from .algorithm import DispersionExtendedThreshold

__all__ = ["DispersionExtendedThreshold"]
