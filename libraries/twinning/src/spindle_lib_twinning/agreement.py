"""Whether the intensities that a group makes equal are equal within their errors, by comparison with those of a subgroup.

A correlation of 0.95 is that of a true symmetry in weak data, and of a twin in good ones: what tells them apart is how well reflections
agree that are equal without doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle_lib_symmetry_analysis.alignment import orbit_keys

#: Errors between observations that their sigmas do not know of.
RELATIVE_ERROR = 0.03
#: Observations per batch that gets a scale of its own, and most batches of an experiment.
PER_BATCH, MOST_BATCHES = 500, 60
#: Fewer degrees of freedom than this tell nothing.
FEWEST = 30
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Excess:
    """Differences between means of a subgroup's reflections that a larger group makes equal.

    Attributes
    ----------
    n : int
        Degrees of freedom of these differences.
    relative : float
        Their rms (of the stronger half, errors subtracted) relative to the intensity: 0 for equals, 0.82 (1 - 2 a) for mates of a twin
        with the fraction a.
    ratio : float
        Their mean square in units of that of equivalents in the subgroup; NaN where there are too few.
    """

    n: int
    relative: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Observations of one indexing.

    Attributes
    ----------
    hkl : (n, 3) int
    value, sigma : (n,) float64
    batch : (n,) int64
        Numbers of parts of the scans that have a scale of their own.
    """

    hkl: np.ndarray
    value: np.ndarray
    sigma: np.ndarray
    batch: np.ndarray


def batches(experiment: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(n,) int64: parts of the scans with about as many observations each, from the position (n,) in the scan."""
    found = np.zeros(len(image), np.int64)
    first = 0
    for number in np.unique(experiment):
        rows = np.flatnonzero(experiment == number)
        count = int(np.clip(len(rows) // PER_BATCH, 1, MOST_BATCHES))
        rank = np.argsort(np.argsort(image[rows], kind="stable"), kind="stable")
        found[rows] = first + rank * count // max(len(rows), 1)
        first += count
    return found


def on_one_scale(data: Measured, group: Sequence[np.ndarray]) -> Measured:
    """Divide each batch by its scale, from the reflections that a group makes equal."""
    index = np.unique(orbit_keys(data.hkl, group), return_inverse=True)[1]
    n, k = int(index.max(initial=-1)) + 1, int(data.batch.max(initial=-1)) + 1
    scale = np.ones(k)
    for _ in range(ROUNDS):
        g = scale[data.batch]
        mean = _means(data.value / g, _weights(data.sigma / g, data.value / g), index, n)
        weight = _weights(data.sigma, g * mean[index])
        top = np.bincount(data.batch, weight * data.value * mean[index], k)
        bottom = np.bincount(data.batch, weight * mean[index] ** 2, k)
        known = (bottom > 0) & (top > 0)
        scale[known] = top[known] / bottom[known]
        scale /= np.exp(np.mean(np.log(scale)))
    g = scale[data.batch]
    return Measured(data.hkl, data.value / g, data.sigma / g, data.batch)


def r_merge(data: Measured, group: Sequence[np.ndarray]) -> float:
    """Sum |I - <I>| / sum I over the observations of reflections that were measured more than once."""
    index = np.unique(orbit_keys(data.hkl, group), return_inverse=True)[1]
    count = np.bincount(index)
    mean = np.bincount(index, data.value) / np.maximum(count, 1)
    several = count[index] > 1
    total = float(data.value[several].sum())
    return float(np.abs(data.value - mean[index])[several].sum()) / total if total > 0 else float("nan")


def excess(data: Measured, subgroup: Sequence[np.ndarray], group: Sequence[np.ndarray]) -> Excess:
    """Compare the means of the subgroup's reflections that a group makes equal; `data` on one scale."""
    inner = np.unique(orbit_keys(data.hkl, subgroup), return_inverse=True)[1]
    outer = np.unique(orbit_keys(data.hkl, group), return_inverse=True)[1]
    n_inner, n_outer = int(inner.max(initial=-1)) + 1, int(outer.max(initial=-1)) + 1
    plain = _means(data.value, _weights(data.sigma, data.value), outer, n_outer)
    weight = _weights(data.sigma, plain[outer])
    total = np.bincount(inner, weight, n_inner)
    mean = np.bincount(inner, weight * data.value, n_inner) / total
    freedom = len(inner) - n_inner
    if freedom < FEWEST:
        return Excess(0, float("nan"), float("nan"))
    repeated = np.bincount(inner, minlength=n_inner)[inner] > 1  # those measured once deviate by nothing
    within = float(_clipped((weight * (data.value - mean[inner]) ** 2)[repeated]).sum()) / freedom
    of_inner = np.zeros(n_inner, np.int64)
    of_inner[inner] = outer
    whole = np.bincount(of_inner, total, n_outer)
    middle = np.bincount(of_inner, total * mean, n_outer) / whole
    members = np.bincount(of_inner, minlength=n_outer)
    squares = total * (mean - middle[of_inner]) ** 2
    several = members[of_inner] > 1
    between = int(several.sum() - (members > 1).sum())
    if between < FEWEST or within <= 0:
        return Excess(between, float("nan"), float("nan"))
    ratio = float(_clipped(squares[several]).sum()) / between / within
    compared = (members > 1) & (middle > 0)
    compared &= middle >= np.median(middle[members > 1])
    strong = compared[of_inner]
    difference = (mean - middle[of_inner]) ** 2 - within * np.maximum(1.0 / total - 1.0 / whole[of_inner], 0.0)
    size = float(((members - 1) * middle**2)[compared].sum())
    relative = float(np.sqrt(max(float(difference[strong].sum()), 0.0) / size)) if size > 0 else float("nan")
    return Excess(between, relative, ratio)


def _weights(sigma: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (sigma**2 + (RELATIVE_ERROR * value) ** 2 + 1e-12))


def _means(value: np.ndarray, weight: np.ndarray, index: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(np.bincount(index, weight * value, n) / np.maximum(np.bincount(index, weight, n), 1e-300))


def _clipped(squares: np.ndarray) -> np.ndarray:
    """Squares of which a few wild ones decide nothing."""
    if not len(squares):
        return squares
    return np.minimum(squares, 25.0 * max(float(np.median(squares)), 1e-12))
