"""Loops over the reflections that two data sets share."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def correlate_sets(
    keys, values, variances, offsets, keys_b, values_b, variances_b, offsets_b, first, last, weighted, cc, n
):
    """Correlations of data sets first to last with all the others.

    Parameters
    ----------
    keys : (m,) int64
        Numbers of reflections, ascending within each set.
    values, variances : (m,) float64
    offsets : (n_sets + 1,) int64
        Set i has the rows offsets[i]:offsets[i + 1].
    keys_b, values_b, variances_b, offsets_b
        The sets to compare with.
    first, last : int
    weighted : bool
        Pairs count by 1 / (sum of their variances).
    cc : (last - first, n_sets) float64
        Output; NaN where nothing is shared or nothing varies.
    n : (last - first, n_sets) float64
        Output: pairs; of weights, the number of equal ones with the same precision (Kish).
    """
    for i in range(first, last):
        for j in range(offsets_b.shape[0] - 1):
            a, b = offsets[i], offsets_b[j]
            end_a, end_b = offsets[i + 1], offsets_b[j + 1]
            total, squares = 0.0, 0.0
            sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
            while a < end_a and b < end_b:
                if keys[a] < keys_b[b]:
                    a += 1
                elif keys[a] > keys_b[b]:
                    b += 1
                else:
                    w = 1.0 / (variances[a] + variances_b[b]) if weighted else 1.0
                    x, y = values[a], values_b[b]
                    total += w
                    squares += w * w
                    sx += w * x
                    sy += w * y
                    sxx += w * x * x
                    syy += w * y * y
                    sxy += w * x * y
                    a += 1
                    b += 1
            row = i - first
            if total <= 0.0:
                cc[row, j] = np.nan
                n[row, j] = 0.0
                continue
            n[row, j] = total * total / squares
            vx = sxx / total - (sx / total) ** 2
            vy = syy / total - (sy / total) ** 2
            if vx <= 1e-12 * sxx / total or vy <= 1e-12 * syy / total:
                cc[row, j] = np.nan
            else:
                cc[row, j] = (sxy / total - sx * sy / total**2) / np.sqrt(vx * vy)
