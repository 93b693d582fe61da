"""How well experiments agree with each other in the symmetry found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.table import rows_by_value
from spindle_lib_merging import correlation
from spindle_lib_symmetry_analysis.alignment import orbit_keys
from spindle_lib_symmetry_analysis.laue import without_extremes
from spindle_lib_symmetry_analysis.prepare import Prepared

MIN_PAIRS = 20


@dataclass(slots=True)
class Agreement:
    """One experiment against all the others; NaN where nothing can be compared.

    Attributes
    ----------
    n : int
        Observations.
    r_within : float
        Rmerge of equivalents within the experiment.
    r_between, cc_between : float
        Of its mean intensities and those of the other experiments.
    n_common : int
        Reflections that both have.
    """

    n: int
    r_within: float
    r_between: float
    cc_between: float
    n_common: int

    def disagrees(self, cc_true: float) -> bool:
        """Whether the difference from the others is more than the errors within explain."""
        if self.n_common < MIN_PAIRS:
            return False
        by_cc = self.cc_between < 0.5 * min(max(cc_true, 0.2), 1.0)
        limit = 0.15 + 2.0 * (self.r_within if np.isfinite(self.r_within) else 0.1)
        return bool(by_cc or self.r_between > limit)


def agreements(data: Prepared, group: Sequence[np.ndarray]) -> list[Agreement]:
    """Compare normalised intensities, so that scale and fall-off of the sweeps do not matter.

    Parameters
    ----------
    data
        Observations, all experiments in one indexing.
    group : list of (3, 3) int64
        Rotations in the common reduced cell.
    """
    kept = np.flatnonzero(data.keep)
    value, weight = data.normalised[kept], 1.0 / np.maximum(data.normalised_sigma[kept], 1e-6) ** 2
    _, number = np.unique(orbit_keys(data.hkl[kept], group), return_inverse=True)
    # What all experiments together know of each key; that of one is taken away for what the others know.
    count, total = np.bincount(number), np.bincount(number, weight)
    weighted = weight * value
    summed = np.bincount(number, weighted)
    rows = rows_by_value(data.experiment[kept])
    result = []
    for i in range(data.n_experiments):
        mine = rows.get(i)
        if mine is None:
            result.append(Agreement(0, np.nan, np.nan, np.nan, 0))
            continue
        r_within = _r_merge(number[mine], value[mine])
        if len(mine) == len(kept):
            result.append(Agreement(len(mine), r_within, np.nan, np.nan, 0))
            continue
        own, place = np.unique(number[mine], return_inverse=True)
        own_total, own_summed = np.bincount(place, weight[mine]), np.bincount(place, weighted[mine])
        shared = count[own] > np.bincount(place)
        with np.errstate(divide="ignore", invalid="ignore"):
            others = (summed[own] - own_summed) / (total[own] - own_total)
        shared &= np.isfinite(others)
        x, y = without_extremes((own_summed / own_total)[shared], others[shared])
        both = float(np.sum(x + y))
        r_between = float(np.sum(np.abs(x - y)) / both) if both > 0 else np.nan
        result.append(Agreement(len(mine), r_within, r_between, correlation(x, y), len(x)))
    return result


def _r_merge(keys: np.ndarray, value: np.ndarray) -> float:
    """Sum |I - <I>| / sum I over reflections seen more than once."""
    _, number = np.unique(keys, return_inverse=True)
    counts = np.bincount(number)
    mean = np.bincount(number, value) / counts
    several = counts[number] > 1
    total = float(np.sum(value[several]))
    if not several.any() or total <= 0:
        return float("nan")
    return float(np.sum(np.abs(value - mean[number])[several]) / total)


def rows(found: Sequence[Agreement], operators: Sequence[Any]) -> list[list[Any]]:
    """Rows of the table of agreements."""
    return [
        [i, a.n, rounded(a.r_within), rounded(a.r_between), rounded(a.cc_between), a.n_common, operator.as_abc()]
        for i, (a, operator) in enumerate(zip(found, operators, strict=True))
    ]


def rounded(value: float) -> float | str:
    """Three digits, or two strokes where there is no value."""
    return round(value, 3) if np.isfinite(value) else "--"
