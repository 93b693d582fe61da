"""Kernels that take rays to panels and pixels to rays, with the depth of the sensor."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def _depth_shift(d, mu, thickness, code, x, y):
    """Shift (mm along fast and slow) by which the ray through plane point (x, y) is seen displaced."""
    if code == 0:
        return 0.0, 0.0
    vx = d[0, 2] + x * d[0, 0] + y * d[0, 1]
    vy = d[1, 2] + x * d[1, 0] + y * d[1, 1]
    vz = d[2, 2] + x * d[2, 0] + y * d[2, 1]
    length = math.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / length, vy / length, vz / length
    nx = d[1, 0] * d[2, 1] - d[2, 0] * d[1, 1]
    ny = d[2, 0] * d[0, 1] - d[0, 0] * d[2, 1]
    nz = d[0, 0] * d[1, 1] - d[1, 0] * d[0, 1]
    cosine = abs(vx * nx + vy * ny + vz * nz)
    path = thickness / cosine
    passed = math.exp(-mu * path)
    depth = 1.0 / mu - (path + 1.0 / mu) * passed
    if code == 2:
        depth /= 1.0 - passed
    fast = vx * d[0, 0] + vy * d[1, 0] + vz * d[2, 0]
    slow = vx * d[0, 1] + vy * d[1, 1] + vz * d[2, 1]
    return fast * depth, slow * depth


@numba.njit(nogil=True, cache=True)
def mm_to_pixel(d, pixel_size, mu, thickness, parallax, panel, xy, out):
    """Pixels (n, 2) where rays through plane points (n, 2) mm of panels (n,) are seen."""
    for i in range(panel.shape[0]):
        p = panel[i]
        x, y = xy[i, 0], xy[i, 1]
        sx, sy = _depth_shift(d[p], mu[p], thickness[p], parallax[p], x, y)
        out[i, 0] = (x + sx) / pixel_size[p, 0]
        out[i, 1] = (y + sy) / pixel_size[p, 1]


@numba.njit(nogil=True, cache=True)
def pixel_to_mm(d, pixel_size, mu, thickness, parallax, panel, xy, out):
    """Plane points (n, 2) mm of the rays seen at pixels (n, 2).

    With parallax code 1 the shift is taken at the uncorrected point (one step, as the files of that convention mean
    it); with code 2 the conversion is the exact inverse of `mm_to_pixel` (fixed point, converged to 1e-12 mm).
    """
    for i in range(panel.shape[0]):
        p = panel[i]
        x0, y0 = xy[i, 0] * pixel_size[p, 0], xy[i, 1] * pixel_size[p, 1]
        x, y = x0, y0
        code = parallax[p]
        if code != 0:
            steps = 1 if code == 1 else 20
            for _ in range(steps):
                sx, sy = _depth_shift(d[p], mu[p], thickness[p], code, x, y)
                change = abs(x0 - sx - x) + abs(y0 - sy - y)
                x, y = x0 - sx, y0 - sy
                if change < 1e-12:
                    break
        out[i, 0] = x
        out[i, 1] = y


@numba.njit(nogil=True, cache=True)
def ray_intersections(s1, D, size_mm, panel, xy):
    """Where rays hit the detector.

    Parameters
    ----------
    s1 : (n, 3) float64
        Ray directions (any length).
    D : (p, 3, 3) float64
        Inverse panel frames.
    size_mm : (p, 2) float64
    panel : (n,) int64, output
        Panel that is hit, the nearest of several; -1 for none.
    xy : (n, 2) float64, mm, output
    """
    for i in range(s1.shape[0]):
        best = 0.0
        panel[i] = -1
        xy[i, 0] = 0.0
        xy[i, 1] = 0.0
        for p in range(D.shape[0]):
            w = D[p, 2, 0] * s1[i, 0] + D[p, 2, 1] * s1[i, 1] + D[p, 2, 2] * s1[i, 2]
            if w <= best:
                continue
            x = (D[p, 0, 0] * s1[i, 0] + D[p, 0, 1] * s1[i, 1] + D[p, 0, 2] * s1[i, 2]) / w
            y = (D[p, 1, 0] * s1[i, 0] + D[p, 1, 1] * s1[i, 1] + D[p, 1, 2] * s1[i, 2]) / w
            if x >= 0.0 and y >= 0.0 and x < size_mm[p, 0] and y < size_mm[p, 1]:
                best = w
                panel[i] = p
                xy[i, 0] = x
                xy[i, 1] = y


@numba.njit(nogil=True, cache=True)
def rays_on_panel(s1, D, panel, xy):
    """Plane points (n, 2) mm of rays on *given* panels (n,), inside their edges or not; returns success (n,) bool."""
    n = s1.shape[0]
    hit = np.zeros(n, dtype=np.bool_)
    for i in range(n):
        p = panel[i]
        w = D[p, 2, 0] * s1[i, 0] + D[p, 2, 1] * s1[i, 1] + D[p, 2, 2] * s1[i, 2]
        xy[i, 0] = 0.0
        xy[i, 1] = 0.0
        if w > 0.0:
            hit[i] = True
            xy[i, 0] = (D[p, 0, 0] * s1[i, 0] + D[p, 0, 1] * s1[i, 1] + D[p, 0, 2] * s1[i, 2]) / w
            xy[i, 1] = (D[p, 1, 0] * s1[i, 0] + D[p, 1, 1] * s1[i, 1] + D[p, 1, 2] * s1[i, 2]) / w
    return hit
