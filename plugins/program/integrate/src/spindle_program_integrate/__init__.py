"""`spindle integrate`: from refined models and images to intensities."""

from __future__ import annotations

from .program import Integrate

__all__ = ["Integrate"]
