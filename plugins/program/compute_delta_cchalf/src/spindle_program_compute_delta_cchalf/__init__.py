"""Data sets and images that lower CC1/2."""

from __future__ import annotations

from .program import ComputeDeltaCchalf

__all__ = ["ComputeDeltaCchalf"]
