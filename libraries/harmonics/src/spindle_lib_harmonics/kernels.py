"""Spherical harmonics of many directions."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def real_spherical_harmonics(directions, lmax, out):
    """Add half the real spherical harmonics Y_lm, l = 1 .. lmax, of unit vectors to an array.

    Parameters
    ----------
    directions : (n, 3) float64, unit vectors
        The polar angle is measured from z.
    lmax : int
    out : (n, lmax (lmax + 2)) float64
        Output, added to. Order: l = 1, m = -1, 0, 1; l = 2, m = -2 ... 2; ...

    Notes
    -----
    Orthonormal with the Condon-Shortley phase: Y_l0 = N P_l0, Y_l,+m = sqrt(2) (-1)^m N P_lm cos(m phi), Y_l,-m the
    same with sin(m phi); N^2 = (2l + 1)/(4 pi) (l - m)!/(l + m)!. The normalised Legendre functions come from the
    stable recurrences in l.
    """
    legendre = np.empty((lmax + 1, lmax + 1))
    for i in range(directions.shape[0]):
        x, y, z = directions[i, 0], directions[i, 1], directions[i, 2]
        s = np.sqrt(x * x + y * y)
        cos_phi, sin_phi = 1.0, 0.0
        if s > 0.0:
            cos_phi, sin_phi = x / s, y / s
        legendre[0, 0] = np.sqrt(1.0 / (4.0 * np.pi))
        for m in range(1, lmax + 1):
            legendre[m, m] = -np.sqrt((2.0 * m + 1.0) / (2.0 * m)) * s * legendre[m - 1, m - 1]
        for m in range(lmax):
            legendre[m + 1, m] = np.sqrt(2.0 * m + 3.0) * z * legendre[m, m]
            for l in range(m + 2, lmax + 1):
                a = np.sqrt((4.0 * l * l - 1.0) / (l * l - m * m))
                b = np.sqrt(((l - 1.0) * (l - 1.0) - m * m) / (4.0 * (l - 1.0) * (l - 1.0) - 1.0))
                legendre[l, m] = a * (z * legendre[l - 1, m] - b * legendre[l - 2, m])
        for l in range(1, lmax + 1):
            out[i, l * l - 1 + l] += 0.5 * legendre[l, 0]
        cos_m, sin_m = 1.0, 0.0
        sign = 1.0
        for m in range(1, lmax + 1):
            cos_m, sin_m = cos_m * cos_phi - sin_m * sin_phi, sin_m * cos_phi + cos_m * sin_phi
            sign = -sign
            for l in range(m, lmax + 1):
                value = 0.5 * np.sqrt(2.0) * sign * legendre[l, m]
                centre = l * l - 1 + l
                out[i, centre + m] += value * cos_m
                out[i, centre - m] += value * sin_m
