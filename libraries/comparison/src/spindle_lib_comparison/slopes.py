"""How the intensities of two results agree on the same reflections: correlation, slope and offset with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["PairStatistics", "compare_pairs", "differences_by"]

#: Groups of reflections that are drawn together: enough for the spread of a mean, few enough for any number of reflections.
GROUPS = 1000
BINS_OF_VARIANCE = 30
#: A single wild value must not make the rms of differences.
Z_LIMIT = 10.0


@dataclass(frozen=True, slots=True)
class PairStatistics:
    """The intensities y of one result against x of another, with 95 % intervals (low, high).

    Attributes
    ----------
    n : int
    cc : float
        Pearson correlation.
    slope, offset : float
        y = slope x + offset.
    rms_z, mean_z : float
        Of (y - slope x) / sqrt((sy^2 + slope^2 sx^2) / 2): in units of the sigma of one of them. Results of the same images share
        their counting errors, so that 1 is no natural value.
    cc_interval, slope_interval, offset_interval : tuple of float
    """

    n: int
    cc: float
    slope: float
    offset: float
    rms_z: float
    mean_z: float
    cc_interval: tuple[float, float]
    slope_interval: tuple[float, float]
    offset_interval: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare_pairs(
    x: np.ndarray, sigma_x: np.ndarray, y: np.ndarray, sigma_y: np.ndarray, n_bootstrap: int = 1000, seed: int = 0
) -> PairStatistics:
    """Compare two intensities (n,) of each of n reflections.

    Parameters
    ----------
    x, sigma_x, y, sigma_y : (n,) float64
        Finite; sigmas positive.
    n_bootstrap : int
        Drawings for the intervals; 0 leaves them NaN.
    seed : int

    Returns
    -------
    PairStatistics
        All NaN for fewer than three reflections, or where nothing varies.

    Notes
    -----
    Both have errors, so ordinary least squares would find too small a slope in weak data. The line is that of Deming (1943), with the
    ratio of the variances of y and x from the sigmas. The weight of a reflection is one over the mean variance of those of like
    intensity, not over its own, which would favour counts that are too low by chance. Intervals are percentiles of a bootstrap over
    reflections, in groups drawn at random where there are more than 1000.
    """
    n = len(x)
    nan = float("nan")
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return PairStatistics(n, nan, nan, nan, nan, nan, (nan, nan), (nan, nan), (nan, nan))
    ratio = float(np.sum(sigma_y**2) / np.sum(sigma_x**2))
    weight = _weights(x, sigma_x, y, sigma_y, ratio)
    centre_x, centre_y = float(x.mean()), float(y.mean())
    moments = _moments(x - centre_x, y - centre_y, weight)
    rng = np.random.default_rng(seed)
    groups = min(n, GROUPS)
    group = rng.permutation(n) * groups // n
    sums = np.stack([np.bincount(group, column, groups) for column in moments], axis=1)
    lam = float(np.sum(weight * sigma_y**2) / np.sum(weight * sigma_x**2))
    estimate = _estimates(sums.sum(axis=0)[None], lam, centre_x, centre_y)[0]
    low = high = np.full(3, nan)
    if n_bootstrap:
        counts = rng.multinomial(groups, np.full(groups, 1 / groups), n_bootstrap)
        drawn = _estimates(counts @ sums, lam, centre_x, centre_y)
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    cc, slope, offset = (float(v) for v in estimate)
    z = np.clip((y - slope * x) / np.sqrt(0.5 * (sigma_y**2 + slope**2 * sigma_x**2)), -Z_LIMIT, Z_LIMIT)
    intervals = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return PairStatistics(n, cc, slope, offset, float(np.sqrt(np.mean(z**2))), float(z.mean()), *intervals)


def _weights(x: np.ndarray, sigma_x: np.ndarray, y: np.ndarray, sigma_y: np.ndarray, ratio: float) -> np.ndarray:
    """(n,): one over the mean variance of reflections of like intensity."""
    size = x + y / np.sqrt(ratio)
    variance = sigma_x**2 + sigma_y**2 / ratio
    bins = max(1, min(BINS_OF_VARIANCE, len(x) // 20))
    order = np.argsort(size, kind="stable")
    number = np.empty(len(x), np.int64)
    number[order] = np.arange(len(x)) * bins // len(x)
    mean = np.bincount(number, variance, bins) / np.maximum(np.bincount(number, minlength=bins), 1)
    return np.asarray(1.0 / np.maximum(mean, 1e-30)[number])


def _moments(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
    one = np.ones(len(x))
    return [one, x, y, x * x, y * y, x * y, w, w * x, w * y, w * x * x, w * y * y, w * x * y]


def _estimates(sums: np.ndarray, lam: float, centre_x: float, centre_y: float) -> np.ndarray:
    """Correlation, slope and offset (k, 3) of k sets of summed moments (k, 12)."""

    def central(m: np.ndarray) -> tuple[np.ndarray, ...]:
        n, sx, sy, sxx, syy, sxy = m.T
        mx, my = sx / n, sy / n
        return mx, my, sxx / n - mx * mx, syy / n - my * my, sxy / n - mx * my

    with np.errstate(divide="ignore", invalid="ignore"):
        _, _, xx, yy, xy = central(sums[:, :6])
        cc = xy / np.sqrt(xx * yy)
        mx, my, xx, yy, xy = central(sums[:, 6:])
        half = yy - lam * xx
        slope = (half + np.sqrt(half * half + 4 * lam * xy * xy)) / (2 * xy)
    return np.column_stack([cc, slope, my + centre_y - slope * (mx + centre_x)])


def differences_by(coordinate: np.ndarray, z: np.ndarray, n_bins: int = 20) -> dict[str, np.ndarray]:
    """Differences (n,) in bins of equal numbers along a coordinate (n,).

    Returns
    -------
    dict
        "x": middle (median) of each bin, "mean", "error" of the mean, "rms" and "n", each (b,).
    """
    good = np.isfinite(coordinate) & np.isfinite(z)
    coordinate, z = coordinate[good], z[good]
    bins = max(1, min(n_bins, len(z) // 10)) if len(z) else 0
    parts = np.array_split(np.argsort(coordinate, kind="stable"), bins) if bins else []

    def each(function: Any) -> np.ndarray:
        return np.array([function(p) for p in parts], dtype=float)

    return {
        "x": each(lambda p: np.median(coordinate[p])),
        "mean": each(lambda p: z[p].mean()),
        "error": each(lambda p: z[p].std() / np.sqrt(len(p))),
        "rms": each(lambda p: np.sqrt(np.mean(z[p] ** 2))),
        "n": each(len),
    }
