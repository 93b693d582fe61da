"""Radiation damage: doses of images, equivalents by dose, and lines along the dose."""

from __future__ import annotations

from .doses import ImageDoses, doses_of_sweeps
from .kernels import first_doses
from .pairs import PairSums, pair_sums
from .slopes import DamageLines, DosedIntensities, FreeTest, damage_lines, fit_rate, free_test, spread_of_slopes

__all__ = [
    "DamageLines",
    "DosedIntensities",
    "FreeTest",
    "ImageDoses",
    "PairSums",
    "damage_lines",
    "doses_of_sweeps",
    "first_doses",
    "fit_rate",
    "free_test",
    "pair_sums",
    "spread_of_slopes",
]
