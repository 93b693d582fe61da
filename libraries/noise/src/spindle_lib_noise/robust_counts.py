"""Huber's function of Poisson counts: moments that make robust estimates of means unbiased however few the counts."""

from __future__ import annotations

import numpy as np

from .count_kernels import LOG_LOWEST, PER_LOG, fill_table, huber_poisson_moments

__all__ = ["huber_poisson_moments", "moments_grid", "moments_table"]

LOG_HIGHEST = float(np.log(1e8))


def moments_table(means: np.ndarray, c: float) -> np.ndarray:
    """`huber_poisson_moments` of many means, to be interpolated: they are continuous in the mean, with kinks.

    Parameters
    ----------
    means : (n,) float64
        Poisson means, > 0.
    c : float
        Tuning constant.

    Returns
    -------
    (n, 3) float64
        E[psi], E[psi (Y - mu) / mu], variance of psi.
    """
    out = np.empty((len(means), 3))
    fill_table(np.ascontiguousarray(means, np.float64), float(c), out)
    return out


def moments_grid(c: float) -> np.ndarray:
    """(n, 3) float64: the moments of means from 1e-7 to 1e8, for `count_kernels.interpolated_moments`."""
    return moments_table(np.exp(np.arange(LOG_LOWEST, LOG_HIGHEST, 1.0 / PER_LOG)), c)
