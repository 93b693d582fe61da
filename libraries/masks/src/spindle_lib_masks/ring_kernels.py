"""Kernels over pixels and their rings: numbers of rings, medians in them."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["number_rings", "ring_medians"]

# No angle is larger: tan(1.5 rad), as 2 theta = 180 degrees has no finite one.
MAX_TANGENT = 14.101419947171719


@njit(nogil=True, cache=True)
def number_rings(points, step, pixel_size, d, direction, scale, most, ring):
    """Number of the ring of each pixel of a panel.

    Parameters
    ----------
    points : (rows, columns, 2) float64, mm
        Where the rays cross the panel's plane that are seen at the centres of every `step`-th pixel, one beyond the end included.
    step : int
    pixel_size : (2,) float64, mm
    d : (3, 3) float64, mm
        Columns fast, slow, origin.
    direction : (3,) float64
        Of the beam, length 1.
    scale : float
        Rings for each unit of 2 tan(theta).
    most : int
        The largest number that is given.
    ring : (slow, fast) int32
        Filled.

    Notes
    -----
    With u the difference of the unit vectors along the diffracted and the incident beam, sin(theta) = |u| / 2. 2 tan(theta) grows evenly
    with the angle also beyond 90 degrees, where tan(2 theta) does not.
    """
    height, width = ring.shape
    for y in range(height):
        j = y // step
        fy = (y - j * step) / step
        centre_y = (y + 0.5) * pixel_size[1]
        for i in range(points.shape[1] - 1):
            first = i * step
            # shifts of the rays at the four places around
            low_x = first * pixel_size[0] + 0.5 * pixel_size[0]
            low_y = (j * step + 0.5) * pixel_size[1]
            high_x, high_y = low_x + step * pixel_size[0], low_y + step * pixel_size[1]
            ax = (points[j, i, 0] - low_x) * (1.0 - fy) + (points[j + 1, i, 0] - low_x) * fy
            ay = (points[j, i, 1] - low_y) * (1.0 - fy) + (points[j + 1, i, 1] - high_y) * fy
            bx = (points[j, i + 1, 0] - high_x) * (1.0 - fy) + (points[j + 1, i + 1, 0] - high_x) * fy
            by = (points[j, i + 1, 1] - low_y) * (1.0 - fy) + (points[j + 1, i + 1, 1] - high_y) * fy
            for x in range(first, min(first + step, width)):
                fx = (x - first) / step
                px = (x + 0.5) * pixel_size[0] + ax + (bx - ax) * fx
                py = centre_y + ay + (by - ay) * fx
                vx = d[0, 0] * px + d[0, 1] * py + d[0, 2]
                vy = d[1, 0] * px + d[1, 1] * py + d[1, 2]
                vz = d[2, 0] * px + d[2, 1] * py + d[2, 2]
                length = math.sqrt(vx * vx + vy * vy + vz * vz)
                number = 0.0
                if length > 0.0:  # a pixel at the sample has no angle
                    ux, uy, uz = vx / length - direction[0], vy / length - direction[1], vz / length - direction[2]
                    squared = 0.25 * (ux * ux + uy * uy + uz * uz)
                    tangent = MAX_TANGENT
                    if squared < 1.0:
                        tangent = min(math.sqrt(squared / (1.0 - squared)), MAX_TANGENT)
                    number = 2.0 * tangent * scale
                # far away there are more rings than numbers
                ring[y, x] = np.int32(number) if number < most else np.int32(most)


@njit(nogil=True, cache=True)
def ring_medians(rings, values, n_rings, out):
    """Lower median of the values in each ring; 0 in empty rings.

    Parameters
    ----------
    rings : (n,) int32
    values : (n,) float64
    n_rings : int
    out : (n_rings,) float64
        Filled.
    """
    starts = np.zeros(n_rings + 1, np.int64)
    for k in range(rings.shape[0]):
        starts[rings[k] + 1] += 1
    for r in range(n_rings):
        starts[r + 1] += starts[r]
    place = starts[:-1].copy()
    ordered = np.empty(rings.shape[0])
    for k in range(rings.shape[0]):
        r = rings[k]
        ordered[place[r]] = values[k]
        place[r] += 1
    for r in range(n_rings):
        a, b = starts[r], starts[r + 1]
        out[r] = np.sort(ordered[a:b])[(b - a - 1) // 2] if b > a else 0.0


@njit(nogil=True, cache=True)
def sample_pixels(ring, good, values, seen, inner, every, out_rings, out_values):
    """Add a sample of the good pixels of a panel: all of the inner rings, of the others every so many-th of all good ones.

    Parameters
    ----------
    ring : (slow, fast) int32; good : (slow, fast) bool; values : (slow, fast)
    seen, taken : int
        Good pixels of panels before, and how many of them are in the sample.
    inner : int
        Rings of which all pixels are taken.
    every : int
    out_rings : (n,) int32; out_values : (n,) float64
        Filled from the begin.

    Returns
    -------
    int
        Pixels that were taken.
    """
    taken = 0
    for y in range(ring.shape[0]):
        for x in range(ring.shape[1]):
            if good[y, x]:
                if every == 1 or ring[y, x] < inner or seen % every == 0:
                    out_rings[taken] = ring[y, x]
                    out_values[taken] = values[y, x]
                    taken += 1
                seen += 1
    return taken
