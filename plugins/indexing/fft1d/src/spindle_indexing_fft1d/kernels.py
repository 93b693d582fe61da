"""Histograms of points projected onto directions."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def project(points, directions, resolution, histograms, spacing):
    """Histogram of the points' components along each direction.

    Parameters
    ----------
    points : (n, 3) float64, 1/angstrom
    directions : (m, 3) float64
        Unit vectors.
    resolution : float, angstrom
        Slots per 1/angstrom times the range of the components, that is the finest period to be told apart.
    histograms : (m, length) float32
        Output, zero on input; `length` must exceed the largest range of components times `resolution`, plus 1.
    spacing : (m,) float64, 1/angstrom
        Output: width of the slots.
    """
    n, length = points.shape[0], histograms.shape[1]
    for m in range(directions.shape[0]):
        x, y, z = directions[m, 0], directions[m, 1], directions[m, 2]
        low, high = 1e300, -1e300
        for i in range(n):
            p = points[i, 0] * x + points[i, 1] * y + points[i, 2] * z
            low = min(low, p)
            high = max(high, p)
        width = max((high - low) / (length - 1), 1.0 / resolution)
        spacing[m] = width
        for i in range(n):
            p = points[i, 0] * x + points[i, 1] * y + points[i, 2] * z
            histograms[m, int((p - low) / width + 0.5)] += 1.0
