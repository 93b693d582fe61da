"""Goniometer settings that align axes of the crystal."""

from __future__ import annotations

from .program import AlignCrystal

__all__ = ["AlignCrystal"]
