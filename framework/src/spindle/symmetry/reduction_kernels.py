"""Loops of the Niggli reduction."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def reduce_bases(bases, relative_epsilon, transforms):
    """Krivy-Gruber reduction of many cells.

    Parameters
    ----------
    bases : (n, 3, 3) float64, angstrom
        Rows a, b, c.
    relative_epsilon : float
        Tolerance on the elements of the metric tensor, relative to the cube root of the volume.
    transforms : (n, 3, 3) int64
        Output: integer matrices P with reduced basis = P basis, determinant 1; zero where the steps did not end.
    """
    p = np.empty((3, 3), np.int64)
    v = np.empty((3, 3))
    g = np.empty((3, 3))
    for n in range(bases.shape[0]):
        m = bases[n]
        volume = abs(
            m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
            - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
            + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
        )
        eps = relative_epsilon * volume ** (1.0 / 3.0)
        for i in range(3):
            for j in range(3):
                p[i, j] = 1 if i == j else 0
        done = False
        for _ in range(1000):
            for i in range(3):
                for j in range(3):
                    v[i, j] = p[i, 0] * m[0, j] + p[i, 1] * m[1, j] + p[i, 2] * m[2, j]
            for i in range(3):
                for j in range(3):
                    g[i, j] = v[i, 0] * v[j, 0] + v[i, 1] * v[j, 1] + v[i, 2] * v[j, 2]
            a, b, c = g[0, 0], g[1, 1], g[2, 2]
            xi, eta, zeta = 2 * g[1, 2], 2 * g[0, 2], 2 * g[0, 1]
            # steps 1 and 2: order of lengths
            if b < a - eps or (abs(a - b) <= eps and abs(eta) < abs(xi) - eps):
                for j in range(3):
                    x = p[0, j]
                    p[0, j] = -p[1, j]
                    p[1, j] = -x
                    p[2, j] = -p[2, j]
                continue
            if c < b - eps or (abs(b - c) <= eps and abs(zeta) < abs(eta) - eps):
                for j in range(3):
                    x = p[1, j]
                    p[1, j] = -p[2, j]
                    p[2, j] = -x
                    p[0, j] = -p[0, j]
                continue
            # steps 3 and 4: all angles acute, or none
            n_zero = (abs(xi) <= eps) + (abs(eta) <= eps) + (abs(zeta) <= eps)
            n_negative = (xi < -eps) + (eta < -eps) + (zeta < -eps)
            positive = n_zero == 0 and n_negative % 2 == 0
            si, sj, sk = 1, 1, 1
            if positive:
                si = -1 if xi < -eps else 1
                sj = -1 if eta < -eps else 1
                sk = -1 if zeta < -eps else 1
            else:
                free = -1
                if xi > eps:
                    si = -1
                elif xi >= -eps:
                    free = 0
                if eta > eps:
                    sj = -1
                elif eta >= -eps:
                    free = 1
                if zeta > eps:
                    sk = -1
                elif zeta >= -eps:
                    free = 2
                if si * sj * sk < 0:
                    if free == 0:
                        si = -1
                    elif free == 1:
                        sj = -1
                    else:
                        sk = -1
            if si < 0 or sj < 0 or sk < 0:
                for j in range(3):
                    p[0, j] *= si
                    p[1, j] *= sj
                    p[2, j] *= sk
                xi, eta, zeta = xi * sj * sk, eta * si * sk, zeta * si * sj
            # steps 5 to 8: subtract vectors
            if (
                abs(xi) > b + eps
                or (abs(xi - b) <= eps and 2 * eta < zeta - eps)
                or (abs(xi + b) <= eps and zeta < -eps)
            ):
                s = 1 if xi > 0 else -1
                for j in range(3):
                    p[2, j] -= s * p[1, j]
                continue
            if (
                abs(eta) > a + eps
                or (abs(eta - a) <= eps and 2 * xi < zeta - eps)
                or (abs(eta + a) <= eps and zeta < -eps)
            ):
                s = 1 if eta > 0 else -1
                for j in range(3):
                    p[2, j] -= s * p[0, j]
                continue
            if (
                abs(zeta) > a + eps
                or (abs(zeta - a) <= eps and 2 * xi < eta - eps)
                or (abs(zeta + a) <= eps and eta < -eps)
            ):
                s = 1 if zeta > 0 else -1
                for j in range(3):
                    p[1, j] -= s * p[0, j]
                continue
            total = xi + eta + zeta + a + b
            if total < -eps or (abs(total) <= eps and 2 * (a + eta) + zeta > eps):
                for j in range(3):
                    p[2, j] += p[0, j] + p[1, j]
                continue
            done = True
            break
        for i in range(3):
            for j in range(3):
                transforms[n, i, j] = p[i, j] if done else 0
