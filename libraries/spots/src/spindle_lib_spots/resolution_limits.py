"""Resolution limits of an image from its spots: from the fall of their signal, or from their places alone.

All three take the spots of one image that lie outside ice rings; the volume of these rings does not count, or shells
across them would seem empty. They are meant to rank images and to notice trends;
none of them replaces a limit from merged intensities.
"""

from __future__ import annotations

import numpy as np

__all__ = ["NOT_ESTIMATED", "distl_method_1", "distl_method_2", "limit_by_signal"]

# What stands for "no estimate", here and in the files of DIALS.
NOT_ESTIMATED = -1.0

# Normalised amplitude |E| that one acentric reflection in a hundred exceeds: exp(-E^2) = 0.01.
_OUTLIER_AMPLITUDE = float(np.sqrt(-np.log(0.01)))


def limit_by_signal(d: np.ndarray, intensity: np.ndarray, variance: np.ndarray) -> float:
    """Resolution to which spots reach once those that stick out for their resolution are left aside.

    Parameters
    ----------
    d : (n,) float64, angstrom
    intensity, variance : (n,) float64, counts and counts^2

    Returns
    -------
    float, angstrom
        -1 when no line can be fitted.

    Notes
    -----
    Spots are divided by resolution into bins of equal population. In each, spots brighter than Wilson statistics allow
    are dropped, and the 90 % quantile of ln(I/sigma) is noted. The limit is the smallest d of the spots below the
    straight line through these quantiles against 1/d^2: a lonely bright spot far out, of a hot pixel or of salt, is
    above it.
    """
    usable = (variance > 0) & (intensity > 0)
    d, intensity, variance = d[usable], intensity[usable], variance[usable]
    n = len(d)
    n_bins = int(np.clip(n // 20, 5, 20))
    if n < n_bins:
        return NOT_ESTIMATED
    order = np.argsort(-d, kind="stable")
    # A row per bin, filled up with "no spot" where the bins are not quite equally populated.
    first = np.arange(n_bins) * n // n_bins
    size = np.diff(np.append(first, n))
    place = first[:, None] + np.arange(size.max())
    is_spot = np.arange(size.max()) < size[:, None]
    row = order[np.minimum(place, n - 1)]
    brightness = intensity[row]
    kept = is_spot.copy()
    while True:
        mean = np.sum(brightness, axis=1, where=kept) / kept.sum(axis=1)
        still = kept & (np.sqrt(brightness / mean[:, None]) < _OUTLIER_AMPLITUDE)
        if np.array_equal(still, kept):
            break
        kept = still
    x, y = 1.0 / d[row] ** 2, np.log(brightness / np.sqrt(variance[row]))
    ranked = np.argsort(np.where(kept, y, np.inf), axis=1)
    high = np.take_along_axis(ranked, (0.9 * (kept.sum(axis=1) - 1) + 0.5).astype(np.int64)[:, None], axis=1)
    x_high, y_high = np.take_along_axis(x, high, axis=1)[:, 0], np.take_along_axis(y, high, axis=1)[:, 0]
    spread = x_high - x_high.mean()
    if np.ptp(x_high) == 0.0:
        return NOT_ESTIMATED
    slope = float(spread @ (y_high - y_high.mean()) / (spread @ spread))
    below = kept & (y <= y_high.mean() + slope * (x - x_high.mean()))
    return float(1.0 / np.sqrt(x[below].max())) if below.any() else NOT_ESTIMATED


def distl_method_1(d: np.ndarray, volume: np.ndarray) -> tuple[float, float]:
    """Resolution at the knee of the volume of reciprocal space against the rank of the spots.

    Spots that fill reciprocal space evenly lie on a straight line; beyond the limit, where only few remain, the curve
    turns up.

    Parameters
    ----------
    d : (n,) float64, angstrom
    volume : (n,) float64
        Volume within d in which spots count, in any unit: d^-3, less that of ice rings.

    Returns
    -------
    limit, noisiness : float
        Angstrom, and the fraction of pairs of points at which the slope from the origin falls; -1, -1 with fewer than
        ten spots.

    References
    ----------
    Zhang, Z., Sauter, N. K. et al. (2006). J. Appl. Cryst. 39, 112-119.
    """
    n = len(d)
    if n < 10:
        return NOT_ESTIMATED, NOT_ESTIMATED
    step = max(2, -(-n // 40))
    chosen = np.argsort(volume, kind="stable")[: n // step * step : step]
    sampled = volume[chosen]
    slopes = (sampled[1:] - sampled[0]) / np.arange(1, len(sampled))
    skipped = min(3, len(slopes) - 1)
    end = int(np.argmax(slopes[skipped:])) + skipped + 1
    # Depth of the curve below the chord to the steepest point.
    i = np.arange(end)
    gaps = slopes[end - 1] * i - (sampled[:end] - sampled[0])
    knee = int(np.argmax(gaps))
    late = np.flatnonzero(gaps > gaps[knee] - 0.5 * gaps.std(ddof=1))
    last = late[-1] if len(late) else knee  # none where all lie on the chord: equal volumes
    return float(d[chosen[last]]), _share_of_pairs(slopes[:-1, None] >= slopes[None, 1:])


def distl_method_2(d: np.ndarray, volume: np.ndarray) -> tuple[float, float]:
    """Resolution at which shells of equal volume hold less than 15 % of the spots of the innermost.

    Parameters
    ----------
    d : (n,) float64, angstrom
    volume : (n,) float64
        Volume within d in which spots count, in any unit: d^-3, less that of ice rings.

    Returns
    -------
    limit, noisiness : float
        Angstrom, and the fraction of pairs of shells of which the outer has as many spots as the inner or more; -1, -1
        with fewer than ten spots.

    References
    ----------
    Zhang, Z., Sauter, N. K. et al. (2006). J. Appl. Cryst. 39, 112-119.
    """
    n = len(d)
    if n < 10:
        return NOT_ESTIMATED, NOT_ESTIMATED
    order = np.argsort(volume, kind="stable")
    inside = volume[order]
    low_resolution = int(np.ceil(min(max(25, 0.05 * n), 0.25 * n)))
    extent = inside[-1] - inside[0]
    step = inside[low_resolution] - inside[0]
    n_shells = 40 if step <= 0 else int(np.clip(np.ceil(extent / step), 20, 40))
    edges = inside[0] + extent * np.arange(n_shells + 1) / n_shells
    count = np.bincount(np.minimum(np.searchsorted(edges, inside, side="right") - 1, n_shells - 1), minlength=n_shells)
    few = count < 0.15 * 0.5 * (count[0] + count[1])
    ends = np.flatnonzero(few[:-1] & few[1:])
    limit = edges[ends[0] + 1] if len(ends) else inside[-1]
    return float(np.interp(limit, inside, d[order])), _share_of_pairs(count[:-1, None] <= count[None, 1:])


def _share_of_pairs(holds: np.ndarray) -> float:
    """Share of the pairs i < j + 1 for which holds[i, j] is true."""
    return float(np.mean(holds[np.triu_indices(len(holds))]))
