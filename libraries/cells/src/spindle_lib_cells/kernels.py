"""Distances between metric tensors over choices of the basis."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def equivalents(metric, matrices, limit, out):
    """Metrics of a lattice in other bases.

    Parameters
    ----------
    metric : (6,) float64
        a.a, b.b, c.c, 2 b.c, 2 a.c, 2 a.b.
    matrices : (m, 6, 6) float64
        What changes of the basis do to such metrics.
    limit : float
        Bases with a larger sum of squared edges are left out.
    out : (m, 6) float64

    Returns
    -------
    int
        Rows of `out` that are filled.
    """
    n = 0
    for k in range(matrices.shape[0]):
        total = 0.0
        for i in range(3):
            value = 0.0
            for j in range(6):
                value += matrices[k, i, j] * metric[j]
            out[n, i] = value
            total += value
        if total > limit:
            continue
        for i in range(3, 6):
            value = 0.0
            for j in range(6):
                value += matrices[k, i, j] * metric[j]
            out[n, i] = value
        n += 1
    return n


@numba.njit(nogil=True, cache=True)
def nearest(candidates, offsets, metrics, first, last, out):
    """Smallest distance of each metric to the equivalents of lattices first to last.

    Parameters
    ----------
    candidates : (m, 6) float64
    offsets : (n + 1,) int64
        Lattice i owns candidates offsets[i]:offsets[i + 1].
    metrics : (n, 6) float64
    first, last : int
    out : (last - first, n) float64
    """
    for i in range(first, last):
        for j in range(metrics.shape[0]):
            best = np.inf
            for k in range(offsets[i], offsets[i + 1]):
                total = 0.0
                for axis in range(6):
                    step = candidates[k, axis] - metrics[j, axis]
                    total += step * step
                    if total >= best:
                        break
                best = min(best, total)
            out[i - first, j] = np.sqrt(best)
