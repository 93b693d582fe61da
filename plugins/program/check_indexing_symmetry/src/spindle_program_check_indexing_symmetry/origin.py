"""Whether indices are right, or off by a whole number: correlations about shifted origins."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.symmetry import asu_indices
from spindle_lib_merging import correlation
from spindle_lib_symmetry_analysis.operator_correlations import MeanValues, deviation_of_correlation

#: Fewer pairs than this say nothing about an origin.
MIN_PAIRS = 10


@dataclass(frozen=True, slots=True)
class Shift:
    """Agreement of intensities when an offset is added to the indices.

    Attributes
    ----------
    offset : (3,) tuple of int
    cc : float
    n : int
        Number of pairs.
    """

    offset: tuple[int, int, int]
    cc: float
    n: int

    @property
    def deviation(self) -> float:
        """Standard deviation of the correlation."""
        return deviation_of_correlation(self.cc, self.n)


def shifts_of(grid: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """All offsets of a grid, no offset first."""
    axes = [range(-g, g + 1) for g in grid]
    found = [(h, k, m) for h in axes[0] for k in axes[1] for m in axes[2]]
    return sorted(found, key=lambda s: (s != (0, 0, 0), s))


def about_origin(data: MeanValues, offset: tuple[int, int, int]) -> Shift:
    """Agreement of Friedel mates about the shifted origin: I(h) with I(-h - 2 offset).

    Pairs that all lie in one plane through the origin count as none: a twofold axis across it explains them as well.
    """
    partner = data.partners(-data.hkl - 2 * np.array(offset))
    here = np.flatnonzero((partner >= 0) & (partner != np.arange(len(partner))))
    n = len(here) // 2  # each pair is seen from both ends
    apart = (data.hkl[here] - data.hkl[partner[here]]).astype(float)
    if n < 3 or np.linalg.matrix_rank(apart.T @ apart) < 3:
        return Shift(offset, 0.0, 0)
    return Shift(offset, _agreement(data.value[here], data.value[partner[here]]), n)


def among_equivalents(data: MeanValues, offset: tuple[int, int, int], group: gemmi.SpaceGroup) -> Shift:
    """Agreement of each intensity with the mean of its equivalents, Friedel mates among them, after the shift."""
    moved = data.hkl + np.array(offset)
    asu, _ = asu_indices(moved.astype(np.int32), group)
    _, number = np.unique(asu, axis=0, return_inverse=True)
    number = number.ravel()
    count = np.bincount(number)[number] if len(number) else number
    rows = np.flatnonzero(count > 1)
    total = np.bincount(number, data.value)[number[rows]] if len(rows) else np.zeros(0)
    others = (total - data.value[rows]) / np.maximum(count[rows] - 1, 1)
    return Shift(offset, _agreement(data.value[rows], others), len(rows))


def with_reference(
    data: MeanValues, offset: tuple[int, int, int], group: gemmi.SpaceGroup, reference: MeanValues
) -> Shift:
    """Agreement of the means of shifted equivalents with those of a reference, whose indices are in the asymmetric unit."""
    asu, _ = asu_indices((data.hkl + np.array(offset)).astype(np.int32), group)
    merged = MeanValues.of(asu, data.value, friedel=False)
    partner = reference.partners(merged.hkl)
    here = np.flatnonzero(partner >= 0)
    cc = _agreement(merged.value[here], reference.value[partner[here]])
    return Shift(offset, cc, len(here))


def _agreement(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation; 0 where there is none: of fewer than three pairs, or of intensities that are all alike."""
    cc = correlation(x, y) if len(x) > 2 else 0.0
    return cc if np.isfinite(cc) else 0.0


def best_shift(shifts: list[Shift]) -> tuple[Shift | None, bool]:
    """The shift that agrees best, and whether it is clearly better than all others.

    Returns
    -------
    best : Shift or None
        None when no shift has enough pairs. Of those that agree equally well, within their uncertainties, the smallest.
    is_clear : bool
        False when another one is about as good.
    """
    telling = [s for s in shifts if s.n >= MIN_PAIRS]
    if not telling:
        return None, False
    top = max(telling, key=lambda s: s.cc)
    equal = [s for s in telling if top.cc - s.cc <= 2.0 * np.hypot(top.deviation, s.deviation)]
    best = min(equal, key=lambda s: (sum(abs(v) for v in s.offset), -s.cc))
    return best, len(equal) == 1 and best.cc > 2.0 * best.deviation
