"""Which settings the crystal may have: those in which spots are as well described as without symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .refining import Refined
from .settings import BravaisSetting

#: Residuals larger than the triclinic ones by these factors are too large: for intensities of unrelated reflections,
#: for those that do not agree well, and for any.
WORSE_UNRELATED, WORSE, MUCH_WORSE = 1.2, 1.5, 3.0
#: Correlations below the first are those of unrelated reflections; below the second or, where the cell does not fit well,
#: the third they do not agree well.
UNRELATED_CC, LOW_CC, LOW_CC_BAD_FIT = 0.3, 0.5, 0.7
#: A metric fit from which on the cell does not fit well, degrees.
BAD_FIT_DEG = 0.5
#: Fewer pairs than this do not make a correlation.
MIN_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Solution:
    """A refined setting with what speaks for and against it.

    Attributes
    ----------
    setting : BravaisSetting
    refined : Refined
    correlations : list of float
        Of the intensities that each rotation of the group relates, the identity first.
    n_pairs : list of int
        How many pairs of reflections each rotation relates.
    recommended : bool
    """

    setting: BravaisSetting
    refined: Refined
    correlations: list[float]
    n_pairs: list[int]
    recommended: bool = False

    @property
    def cell(self) -> np.ndarray:
        """(6,) cell of the first crystal, angstrom and degrees."""
        return self.refined.experiments[0].known_crystal.cell

    def extreme_cc(self) -> tuple[float | None, float | None]:
        """Smallest and largest correlation of rotations that relate enough pairs; None when none does."""
        telling = [c for c, n in zip(self.correlations[1:], self.n_pairs[1:], strict=True) if n > MIN_PAIRS]
        return (min(telling), max(telling)) if telling else (None, None)

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        low, high = self.extreme_cc()
        rmsd = self.refined.rmsd_mm
        entry = {
            "max_angular_difference": self.setting.max_angular_difference,
            "rmsd": rmsd if np.isfinite(rmsd) else None,
            "nspots": self.refined.n_reflections,
            "bravais": self.setting.bravais,
            "unit_cell": self.cell.tolist(),
            "cb_op": self.setting.operator.as_abc(),
            "max_cc": high,
            "min_cc": low,
            "correlation_coefficients": self.correlations,
            "cc_nrefs": self.n_pairs,
            "recommended": self.recommended,
        }
        if self.refined.failure:
            entry["failure"] = self.refined.failure
        return entry


def is_plausible(max_angular_difference: float, min_cc: float | None, rmsd: float, triclinic_rmsd: float) -> bool:
    """Whether a setting may be that of the crystal.

    Parameters
    ----------
    max_angular_difference : float, degrees
    min_cc : float or None
        Smallest correlation of intensities that the symmetry relates; None where too few are.
    rmsd, triclinic_rmsd : float, mm
        Residuals in the setting and without symmetry; NaN when refinement failed.
    """
    if not np.isfinite(rmsd) or not np.isfinite(triclinic_rmsd):
        return False
    if min_cc is not None and min_cc < UNRELATED_CC:
        limit = WORSE_UNRELATED
    elif min_cc is None or min_cc < (LOW_CC if max_angular_difference < BAD_FIT_DEG else LOW_CC_BAD_FIT):
        limit = WORSE
    else:
        limit = MUCH_WORSE
    return bool(rmsd <= limit * triclinic_rmsd)
