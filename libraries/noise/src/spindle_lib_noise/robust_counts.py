"""Huber's function of Poisson counts: moments that make robust estimates of means unbiased however few the counts."""

from __future__ import annotations

import numpy as np

from .count_kernels import fill_table, huber_poisson_moments

__all__ = ["huber_poisson_moments", "moments_table"]


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
