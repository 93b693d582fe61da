"""Correlations of pairs, and how large they are by chance."""

from __future__ import annotations

import numpy as np

from .merge import Merged

#: A CC1/2 counts as significant when noise alone reaches it with less than this probability.
SIGNIFICANCE_LEVEL = 0.01


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation; NaN for fewer than three points, since that of any two is 1 or -1, or no variation."""
    if len(x) < 3:
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    norm = np.sqrt((dx @ dx) * (dy @ dy))
    return float(dx @ dy / norm) if norm > 0 else float("nan")


def critical_correlation(n: int, level: float = SIGNIFICANCE_LEVEL) -> float:
    """The correlation of n pairs of pure noise that is exceeded with probability `level` (Student's t, one-sided)."""
    if n <= 2:
        return float("nan")
    from scipy import special  # slow to import, and not needed by most that import this module

    t = float(special.stdtrit(n - 2, 1 - level))
    return float(t / np.sqrt(n - 2 + t * t))


def sigma_tau(merged: Merged) -> float:
    """CC1/2 from the variance of the means and the variance within the groups, without random halves."""
    several = merged.multiplicity > 1
    if several.sum() < 2:
        return float("nan")
    noise = 2 * np.mean(merged.spread[several] / merged.multiplicity[several])
    signal = np.var(merged.plain_mean[several], ddof=1)
    return float((signal - noise / 2) / (signal + noise / 2)) if signal + noise > 0 else float("nan")
