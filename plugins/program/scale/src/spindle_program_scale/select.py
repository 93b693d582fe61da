"""Which observations determine the scale factors."""

from __future__ import annotations

import numpy as np

from .data import Observations
from .params import ScaleParams

RESOLUTION_BINS = 20
#: intensity_ranges needs more observations than this.
ENOUGH_FOR_RANGES = 10000
#: Bytes of a table of pairs of reflection and data set.
LARGEST_TABLE = 2**27


def preselect(obs: Observations, sigma: np.ndarray, params: ScaleParams) -> np.ndarray:
    """(n,) bool: observations within the ranges of I / sigma, resolution, partiality and zeta."""
    chosen = params.reflection_selection
    ratio = obs.intensity / sigma
    low, high = chosen.Isigma_range
    keep = ratio > low
    if high > 0:
        keep &= ratio < high
    if chosen.d_range is not None:
        keep &= (obs.d >= min(chosen.d_range)) & (obs.d <= max(chosen.d_range))
    if chosen.min_partiality is not None:
        keep &= obs.partiality > chosen.min_partiality
    if obs.near_axis.mean() < 0.5:  # a data set all near the axis is better than none
        keep &= ~obs.near_axis
    if chosen.method == "intensity_ranges" and keep.sum() > ENOUGH_FOR_RANGES:
        e2 = normalised_intensities(obs)
        keep &= (e2 > chosen.E2_range[0]) & (e2 < chosen.E2_range[1])
    return np.asarray(keep)


def normalised_intensities(obs: Observations) -> np.ndarray:
    """(n,) float64: E^2, the scaled intensity over epsilon times its mean in a resolution bin."""
    scaled = obs.intensity / obs.g / obs.groups.epsilon[obs.groups.index]
    order = np.argsort(obs.d)
    e2 = np.empty(len(obs))
    for part in np.array_split(order, min(RESOLUTION_BINS, max(1, len(order) // 50))):
        mean = scaled[part][~obs.outlier[part]].mean() if (~obs.outlier[part]).any() else 0.0
        e2[part] = scaled[part] / mean if mean > 0 else 0.0
    return e2


def choose_groups(
    obs: Observations,
    usable: np.ndarray,
    sigma: np.ndarray,
    params: ScaleParams,
    rng: np.random.Generator,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """(m,) bool: unique reflections to use.

    Parameters
    ----------
    obs : Observations
    usable : (n,) bool
        Preselected observations without outliers.
    sigma : (n,) float64
    params : Params
    rng
        Random numbers.
    known : (m,) bool, optional
        Reflections of a reference, of which a single observation tells something.
    """
    groups = obs.groups
    index = groups.index
    n_usable = np.bincount(index[usable], minlength=groups.n_groups)
    several = n_usable > 1 if known is None else (n_usable > 1) | (known & (n_usable > 0))
    method = params.reflection_selection.method
    if method in ("use_all", "intensity_ranges"):
        return np.asarray(several)
    sizes = params.reflection_selection.random
    total = int(n_usable[several].sum())
    if total <= sizes.min_reflections or several.sum() <= sizes.min_groups:
        return np.asarray(several)
    candidates = np.flatnonzero(several)
    shuffled = candidates[np.argsort(rng.random(len(candidates)))]
    wanted = max(sizes.min_reflections, int(sizes.min_groups * total / several.sum()))
    chosen = np.zeros(groups.n_groups, bool)
    chosen[shuffled[: int(np.searchsorted(np.cumsum(n_usable[shuffled]), wanted)) + 1]] = True
    if obs.n_sets > 1 and method == "quasi_random":
        chosen |= _connecting(obs, usable & several[index], index, shuffled, sigma, params)
    return chosen


def _connecting(
    obs: Observations,
    usable: np.ndarray,
    index: np.ndarray,
    shuffled: np.ndarray,
    sigma: np.ndarray,
    params: ScaleParams,
) -> np.ndarray:
    """Groups that join data sets: for every data set, in every resolution bin, enough strong ones that others share."""
    n_groups = obs.groups.n_groups
    sizes = params.reflection_selection.random
    pairs = _present(index[usable] * obs.n_sets + obs.number[usable], n_groups * obs.n_sets)
    n_sets_of = np.bincount(pairs // obs.n_sets, minlength=n_groups)
    strength = np.bincount(index[usable], (obs.intensity / sigma)[usable], n_groups) / np.maximum(
        np.bincount(index[usable], minlength=n_groups), 1
    )
    cutoff = sizes.multi_dataset.Isigma_cutoff
    good = (n_sets_of > 1) & (strength > (-np.inf if cutoff is None else cutoff))
    first = obs.groups.order[obs.groups.offsets[:-1]]
    bins = np.zeros(n_groups, dtype=np.int64)
    for k, part in enumerate(np.array_split(np.argsort(-obs.d[first]), RESOLUTION_BINS)):
        bins[part] = k
    target = max(1, min(1000, sizes.min_groups) // (RESOLUTION_BINS * 2))
    rank = np.empty(n_groups, dtype=np.int64)
    rank[:] = n_groups
    rank[shuffled] = np.arange(len(shuffled))
    group, number = pairs // obs.n_sets, pairs % obs.n_sets
    use = good[group]
    group, number = group[use], number[use]
    cell = number * RESOLUTION_BINS + bins[group]
    order = np.lexsort((rank[group], cell))
    sorted_cell = cell[order]
    starts = np.concatenate([[True], sorted_cell[1:] != sorted_cell[:-1]])
    position = np.arange(len(order)) - np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    chosen = np.zeros(n_groups, bool)
    chosen[group[order[position < target]]] = True
    return chosen


def _present(keys: np.ndarray, n: int) -> np.ndarray:
    """Which of the numbers below n there are, ascending; without sorting where a table of them is small."""
    if n > LARGEST_TABLE:
        return np.unique(keys)
    seen = np.zeros(n, bool)
    seen[keys] = True
    return np.flatnonzero(seen)


def free_groups(n_groups: int, percentage: float, offset: int) -> np.ndarray:
    """(n_groups,) bool: every int(100 / percentage)-th unique reflection, starting at `offset`, is free."""
    free = np.zeros(n_groups, bool)
    free[offset :: max(1, int(100.0 / percentage))] = True
    return free


def rmsd_of_rows(obs: Observations, rows: np.ndarray, variance: np.ndarray) -> float:
    """RMSD of the normalised residuals of some observations."""
    index = np.unique(obs.groups.index[rows], return_inverse=True)[1]
    weight = 1.0 / variance[rows]
    g, value = obs.g[rows], obs.intensity[rows]
    mean = np.bincount(index, weight * g * value) / np.bincount(index, weight * g * g)
    return float(np.sqrt((weight * (value - g * mean[index]) ** 2).mean()))
