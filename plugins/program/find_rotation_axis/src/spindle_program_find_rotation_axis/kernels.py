"""Directions of differences between reciprocal-lattice points, counted."""

from __future__ import annotations

import math

import numba

__all__ = ["count_directions", "place_points"]


@numba.njit(nogil=True, cache=True)
def place_points(across, phi, azimuth, radius, points):
    """Points of reciprocal space, turned back about an axis in the plane across the beam.

    Parameters
    ----------
    across : (n, 2) float64, 1/angstrom
        Diffracted beams along the two directions across the beam.
    phi : (n,) float64, rad
    azimuth : float, rad
        The axis is (cos, -sin) along these two directions.
    radius : float, 1/angstrom
        Of the Ewald sphere.
    points : (n, 3) float64
        Output: the last coordinate is that along the axis.
    """
    cosine, sine = math.cos(azimuth), math.sin(azimuth)
    for i in range(across.shape[0]):
        along = across[i, 0] * cosine - across[i, 1] * sine
        beside = -across[i, 0] * sine - across[i, 1] * cosine
        depth = radius - math.sqrt(max(radius * radius - along * along - beside * beside, 0.0))
        c, s = math.cos(phi[i]), math.sin(phi[i])
        points[i, 0] = beside * c - depth * s
        points[i, 1] = -beside * s - depth * c
        points[i, 2] = along


@numba.njit(nogil=True, cache=True)
def count_directions(points, longest, counts):
    """Count the directions of differences of points in bins of equal solid angle, a direction and its opposite as one.

    Parameters
    ----------
    points : (n, 3) float64
    longest : float
        Longer differences are left out.
    counts : (n_turn, n_height) int64
        Output, added to: bins of the angle about the last coordinate, and of the cosine to it from 0 to 1.
    """
    n_turn, n_height = counts.shape
    for i in range(points.shape[0]):
        for j in range(i):
            x, y, z = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1], points[i, 2] - points[j, 2]
            length = math.sqrt(x * x + y * y + z * z)
            if length > longest or length == 0.0:
                continue
            if z < 0.0:
                x, y, z = -x, -y, -z
            turn = int((math.atan2(y, x) / math.pi + 1.0) * 0.5 * n_turn)
            height = int(z / length * n_height)
            counts[min(turn, n_turn - 1), min(height, n_height - 1)] += 1
