"""Loops over spots and lattice vectors."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fourier_sums(lab, turned, s0, shifts, real, imaginary):
    """Sums of exp(2 pi i r . v) over spots, for every lattice vector v and every shift of the detector.

    Parameters
    ----------
    lab : (n, 3) float64, mm
        Positions of the spots in the laboratory.
    turned : (n, m, 3) float64
        Lattice vectors, turned to where the crystal was when each spot was seen, divided by the wavelength.
    s0 : (3,) float64
        Unit vector along the beam.
    shifts : (k, 3) float64, mm
        Added to `lab`.
    real, imaginary : (m, k) float64
        Output.

    Notes
    -----
    With turned vectors w, the phase of a spot is ((x / |x|) - s0) . w turns, x its shifted position: the reciprocal
    lattice point need not be turned back for each shift. Sine and cosine are Taylor series of half the phase (error below
    1e-7), so that the compiler works on several shifts at once.
    """
    n, m, n_shifts = lab.shape[0], turned.shape[1], shifts.shape[0]
    ux, uy, uz = np.empty(n_shifts), np.empty(n_shifts), np.empty(n_shifts)
    real[:] = 0.0
    imaginary[:] = 0.0
    for j in range(n):
        for k in range(n_shifts):
            x = lab[j, 0] + shifts[k, 0]
            y = lab[j, 1] + shifts[k, 1]
            z = lab[j, 2] + shifts[k, 2]
            scale = 1.0 / math.sqrt(x * x + y * y + z * z)
            ux[k] = x * scale - s0[0]
            uy[k] = y * scale - s0[1]
            uz[k] = z * scale - s0[2]
        for t in range(m):
            wx, wy, wz = turned[j, t, 0], turned[j, t, 1], turned[j, t, 2]
            re, im = real[t], imaginary[t]
            for k in range(n_shifts):
                p = ux[k] * wx + uy[k] * wy + uz[k] * wz
                a = math.pi * (p - np.floor(p + 0.5))
                q = a * a
                s = 1.0 / 362880.0 - q * (1.0 / 39916800.0 - q / 6227020800.0)
                s = a * (1.0 - q * (1.0 / 6.0 - q * (1.0 / 120.0 - q * (1.0 / 5040.0 - q * s))))
                c = 1.0 / 40320.0 - q * (1.0 / 3628800.0 - q * (1.0 / 479001600.0 - q / 87178291200.0))
                c = 1.0 - q * (0.5 - q * (1.0 / 24.0 - q * (1.0 / 720.0 - q * c)))
                re[k] += c * c - s * s
                im[k] += 2.0 * s * c


@njit(nogil=True, cache=True)
def normal_equations(lab, back, s0, vectors, shift, axes, cutoff, normal, right, misfit):
    """Least squares for a shift of the detector and the lattice vectors: whole turns for all spots and vectors.

    Parameters
    ----------
    lab : (n, 3) float64, mm
    back : (n, 3, 3) float64, 1/angstrom
        Takes a scattering vector in units of 1 / wavelength to the reciprocal lattice point.
    s0 : (3,) float64
        Unit vector along the beam.
    vectors : (m, 3) float64, angstrom
    shift : (3,) float64, mm
    axes : (2, 3) float64
        Directions of the two components of the shift.
    cutoff : float, turns
        Spots farther from a whole turn do not count.
    normal : (2 + 3 m, 2 + 3 m) float64
        Output: normal matrix; the shift's components first, then the vectors'.
    right : (2 + 3 m,) float64
        Output: right-hand side.
    misfit : (2,) float64
        Output: sum of squares and number of the residuals that count.
    """
    normal[:] = 0.0
    right[:] = 0.0
    misfit[:] = 0.0
    r, g = np.empty(3), np.empty(5)
    d = np.empty((2, 3))
    u = np.empty(3)
    for j in range(lab.shape[0]):
        length = 0.0
        for i in range(3):
            u[i] = lab[j, i] + shift[i]
            length += u[i] * u[i]
        length = math.sqrt(length)
        along = np.zeros(2)
        for i in range(3):
            u[i] /= length
            along[0] += u[i] * axes[0, i]
            along[1] += u[i] * axes[1, i]
        for i in range(3):
            r[i], d[0, i], d[1, i] = 0.0, 0.0, 0.0
            for c in range(3):
                r[i] += back[j, i, c] * (u[c] - s0[c])
                d[0, i] += back[j, i, c] * (axes[0, c] - along[0] * u[c]) / length
                d[1, i] += back[j, i, c] * (axes[1, c] - along[1] * u[c]) / length
        for t in range(vectors.shape[0]):
            v = vectors[t]
            p = r[0] * v[0] + r[1] * v[1] + r[2] * v[2]
            p -= math.floor(p + 0.5)
            if abs(p) >= cutoff:
                continue
            misfit[0] += p * p
            misfit[1] += 1.0
            g[0] = d[0, 0] * v[0] + d[0, 1] * v[1] + d[0, 2] * v[2]
            g[1] = d[1, 0] * v[0] + d[1, 1] * v[1] + d[1, 2] * v[2]
            g[2], g[3], g[4] = r[0], r[1], r[2]
            for a in range(5):
                row = a if a < 2 else 3 * t + a
                right[row] -= g[a] * p
                for b in range(5):
                    normal[row, b if b < 2 else 3 * t + b] += g[a] * g[b]
