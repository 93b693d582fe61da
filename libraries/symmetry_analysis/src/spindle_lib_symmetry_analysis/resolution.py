"""Where the data end: the resolution to which intensities can tell symmetries apart."""

from __future__ import annotations

import numpy as np

from spindle_lib_merging import correlation, group_equivalents, half_means, merge_groups

MAX_BINS, MIN_PER_BIN = 100, 10
SIGNIFICANCE = 0.1


def resolution_limits(
    hkl: np.ndarray,
    intensity: np.ndarray,
    variance: np.ndarray,
    d: np.ndarray,
    min_ratio: float | None,
    min_cc: float | None,
) -> tuple[float | None, float | None]:
    """Resolutions (angstrom) at which <I>/<sigma> and CC1/2 of data merged in P -1 fall below their limits.

    None where a limit is not asked for or cannot be found.
    """
    if not len(hkl):
        return None, None
    groups = group_equivalents(hkl, "P -1")
    merged = merge_groups(groups, intensity, variance)
    x = 1.0 / d[groups.order[groups.offsets[:-1]]] ** 2
    order = np.argsort(x)
    n_bins = int(min(MAX_BINS, max(1, len(x) // MIN_PER_BIN)))
    parts = np.array_split(order, n_bins)
    centre = np.array([x[p].mean() for p in parts])
    by_ratio = by_cc = None
    if min_ratio is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.array([merged.intensity[p].mean() / merged.sigma[p].mean() for p in parts])
        by_ratio = _crossing(centre, np.log(np.maximum(ratio, 1e-3)), np.log(min_ratio))
    if min_cc is not None:
        first, second = half_means(groups, intensity, variance)
        cc, weight = [], []
        for part in parts:
            good = part[np.isfinite(first[part]) & np.isfinite(second[part])]
            n = len(good)
            value = correlation(first[good], second[good]) if n > 4 else np.nan
            cc.append(value)
            weight.append(np.sqrt(n - 3.0) if n > 4 and np.isfinite(value) else 0.0)
        by_cc = _tanh_crossing(centre, np.array(cc), np.array(weight), min_cc)
    return by_ratio, by_cc


def _crossing(x: np.ndarray, y: np.ndarray, limit: float) -> float | None:
    """Resolution at which a smooth curve (polynomial of degree 6 at most) through (x, y) first falls below the
    limit; None for fewer than four finite points, or when all are at one place.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 4 or not x[-1] > x[0]:
        return None
    degree = min(6, len(x) - 2)
    middle, half = 0.5 * (x[0] + x[-1]), 0.5 * (x[-1] - x[0])
    curve = np.polynomial.Polynomial.fit((x - middle) / half, y, degree)
    fine = np.linspace(x[0], x[-1], 2000)
    below = curve((fine - middle) / half) < limit
    if not below.any():
        return float(1.0 / np.sqrt(x[-1]))
    first = int(np.argmax(below))
    return None if first == 0 else float(1.0 / np.sqrt(fine[first]))


def _tanh_crossing(x: np.ndarray, cc: np.ndarray, weight: np.ndarray, limit: float) -> float | None:
    """Resolution at which (1 - tanh((x - s) / r)) / 2, fitted to CC1/2 (Evans & Murshudov 2013), falls below the
    limit.
    """
    from scipy.optimize import least_squares

    used = (weight > 0) & np.isfinite(x)
    if np.count_nonzero(used) < 4:
        return None
    x, cc, weight = x[used], cc[used], weight[used]

    def residual(p: np.ndarray) -> np.ndarray:
        return np.asarray((0.5 * (1.0 - np.tanh((x - p[0]) / p[1])) - cc) * weight)

    fit = least_squares(residual, [0.7 * x[-1], 0.3 * x[-1]], bounds=([0.0, min(1e-4, 0.01 * x[-1])], [np.inf, np.inf]))
    place = fit.x[0] + fit.x[1] * np.arctanh(np.clip(1.0 - 2.0 * limit, -0.999999, 0.999999))
    if place <= x[0]:
        return None
    return float(1.0 / np.sqrt(min(place, x[-1])))
