"""Histograms of points projected onto directions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def project(points, directions, resolution, histograms):
    """Histogram of the points' components along each direction; component 0 is in the middle.

    Parameters
    ----------
    points : (3, n) float64, 1/angstrom
    directions : (m, 3) float64
        Unit vectors.
    resolution : float, angstrom
        Slots per 1/angstrom.
    histograms : (m, length) float32
        Output, zero on input; `length` must exceed twice the largest distance of a point from the origin times
        `resolution`, plus 1.
    """
    n = points.shape[1]
    middle = (histograms.shape[1] - 1) // 2 + 0.5
    slots = np.empty(n, np.int32)  # two loops: the first is done for several points at once
    for m in range(directions.shape[0]):
        x, y, z = directions[m, 0] * resolution, directions[m, 1] * resolution, directions[m, 2] * resolution
        for i in range(n):
            slots[i] = np.int32(points[0, i] * x + points[1, i] * y + points[2, i] * z + middle)
        row = histograms[m]
        for i in range(n):
            row[slots[i]] += 1.0
