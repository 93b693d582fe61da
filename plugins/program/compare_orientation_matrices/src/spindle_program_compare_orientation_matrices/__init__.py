"""Rotations and changes of basis between crystals."""

from __future__ import annotations

from .program import CompareOrientationMatrices

__all__ = ["CompareOrientationMatrices"]
