"""Absorption calculated from the shape of the crystal, with smooth scales on top."""

from __future__ import annotations

from .algorithm import CrystalShapeScaling

__all__ = ["CrystalShapeScaling"]
