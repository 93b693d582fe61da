"""From pixels to coordinates in the frame of a spot.

A frame is a row of fifteen numbers, ``E1 (3) | E2 (3) | f (3) | s (3) | o (3)``: the laboratory point of pixel (x, y) is
``v = f x + s y + o`` and its coordinates are ``u = E1 . v / |v|`` and ``w = E2 . v / |v|``, in whatever unit E1 and E2 carry.
"""

from __future__ import annotations

import math

import numba

__all__ = ["in_frame", "in_frame_with_slopes"]


@numba.njit(nogil=True, cache=True)
def _ray(e, x, y):
    """Laboratory point of a pixel, and 1 / its distance from the sample."""
    vx = e[6] * x + e[9] * y + e[12]
    vy = e[7] * x + e[10] * y + e[13]
    vz = e[8] * x + e[11] * y + e[14]
    return vx, vy, vz, 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)


@numba.njit(nogil=True, cache=True)
def in_frame(e, x, y):
    """Coordinates u and w of the point (x, y) of a panel, in pixels, in a frame e (15,)."""
    vx, vy, vz, norm = _ray(e, x, y)
    u = (e[0] * vx + e[1] * vy + e[2] * vz) * norm
    w = (e[3] * vx + e[4] * vy + e[5] * vz) * norm
    return u, w


@numba.njit(nogil=True, cache=True)
def in_frame_with_slopes(e, x, y):
    """As `in_frame`, and the derivatives of u by x and y and of w by x and y: u, w, ux, uy, wx, wy."""
    vx, vy, vz, norm = _ray(e, x, y)
    u = (e[0] * vx + e[1] * vy + e[2] * vz) * norm
    w = (e[3] * vx + e[4] * vy + e[5] * vz) * norm
    f = (e[6] * vx + e[7] * vy + e[8] * vz) * norm * norm
    s = (e[9] * vx + e[10] * vy + e[11] * vz) * norm * norm
    ux = (e[0] * e[6] + e[1] * e[7] + e[2] * e[8]) * norm - u * f
    uy = (e[0] * e[9] + e[1] * e[10] + e[2] * e[11]) * norm - u * s
    wx = (e[3] * e[6] + e[4] * e[7] + e[5] * e[8]) * norm - w * f
    wy = (e[3] * e[9] + e[4] * e[10] + e[5] * e[11]) * norm - w * s
    return u, w, ux, uy, wx, wy
