"""The mixture of profile-fitted and summed intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spindle.merging import Groups, Merged, correlation, half_means, merge_groups

from .data import Observations

#: Special values of Imid.
PROFILE_ONLY, SUM_ONLY = 0.0, 1.0
#: Least I / sigma of observations that decide.
MIN_RATIO = 1.0


def mixture(obs: Observations, middle: float, rows: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and variances with weight 1 / (1 + (raw sum / middle)^3) for profile fitting.

    Parameters
    ----------
    obs : Observations
    middle : float
        Raw summed intensity of equal parts; 0 is profile only, 1 sum only. The other kind fills in where one is
        missing.
    rows
        Which observations.
    """
    profile, profile_variance = obs.profile[rows], obs.profile_variance[rows]
    summed, summed_variance = obs.summed[rows], obs.summed_variance[rows]
    if middle == PROFILE_ONLY:
        weight = np.ones(len(profile))
    elif middle == SUM_ONLY:
        weight = np.zeros(len(profile))
    else:
        weight = 1.0 / (1.0 + (np.maximum(obs.raw_sum[rows], 0.0) / middle) ** 3)
    weight = np.where(np.isnan(summed), 1.0, np.where(np.isnan(profile), 0.0, weight))
    value = weight * np.nan_to_num(profile) + (1 - weight) * np.nan_to_num(summed)
    variance = weight * np.nan_to_num(profile_variance) + (1 - weight) * np.nan_to_num(summed_variance)
    return value, variance


def candidates(raw_sum: np.ndarray) -> list[float]:
    """Values of Imid worth trying: profile only, sum only, the mean, and the largest divided by powers of ten."""
    start = max(10.0, float(raw_sum.mean()))
    found = [PROFILE_ONLY, SUM_ONLY, start]
    value = float(raw_sum.max()) / 10.0
    while value > start / 10.0:
        if value not in found:
            found.append(value)
        value /= 10.0
        if value < start:
            found.append(value)
            break
    return [v for v in found if v in (PROFILE_ONLY, SUM_ONLY) or v > 1.0]


def quality(obs: Observations, value: np.ndarray, variance: np.ndarray, use: np.ndarray) -> tuple[float, float]:
    """CC1/2 and Rmeas of scaled intensities, of observations in use with I / sigma > 1."""
    good = use & (value > MIN_RATIO * np.sqrt(variance))
    groups = several_of(obs.groups, good)
    rows = groups.order
    scaled, scaled_variance = value / obs.g, variance / obs.g**2
    local = replace(groups, order=np.arange(len(rows)), positive=groups.positive[rows])
    merged = merge_groups(local, scaled[rows], scaled_variance[rows])
    first, second = half_means(local, scaled[rows], scaled_variance[rows])
    both = np.isfinite(first)
    return correlation(first[both], second[both]), _r_meas(merged)


def several_of(groups: Groups, keep: np.ndarray) -> Groups:
    """The groups of some observations, single ones left out."""
    order = groups.order[keep[groups.order]]
    index = groups.index[order]
    n = np.bincount(index, minlength=groups.n_groups)
    several = n > 1
    order = order[several[index]]
    offsets = np.concatenate([[0], np.cumsum(n[several])]).astype(np.int64)
    return Groups(
        order, offsets, groups.hkl[several], groups.positive, groups.centric[several], groups.epsilon[several]
    )


def _r_meas(merged: Merged) -> float:
    n = merged.multiplicity.astype(float)
    total = merged.total.sum()
    return float((np.sqrt(n / (n - 1)) * merged.deviation).sum() / total) if total else float("nan")


def choose(
    obs: Observations, use: np.ndarray, given: Sequence[float] | None
) -> tuple[float, list[tuple[float, float, float]]]:
    """The Imid of lowest Rmeas.

    Returns
    -------
    float
    list of (Imid, CC1/2, Rmeas)
    """
    rows = use & np.isfinite(obs.profile) & np.isfinite(obs.summed)
    values = list(given) if given else candidates(obs.raw_sum[rows]) if rows.any() else [PROFILE_ONLY]
    results = []
    for middle in values:
        value, variance = mixture(obs, middle)
        cc, r_meas = quality(obs, value, np.maximum(variance, 1e-30), use)
        results.append((middle, cc, r_meas))
    best = min(results, key=lambda r: r[2] if np.isfinite(r[2]) else np.inf)
    return best[0], results
