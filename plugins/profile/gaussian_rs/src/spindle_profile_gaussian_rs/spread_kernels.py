"""How the pixels and images of a box share the points and slices of a grid in Kabsch's frame."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def pixel_lattice(e, x0, y0, nx, ny, scale, centre, cu, cw):
    """Grid coordinates of the corners of all pixels of a box."""
    a0, a1, a2, b0, b1, b2 = e[0], e[1], e[2], e[3], e[4], e[5]
    f0, f1, f2 = e[6], e[7], e[8]
    for j in range(ny + 1):
        y = float(y0 + j)
        g0, g1, g2 = e[9] * y + e[12], e[10] * y + e[13], e[11] * y + e[14]
        us, ws = cu[j], cw[j]
        for i in range(nx + 1):
            x = float(x0 + i)
            vx, vy, vz = f0 * x + g0, f1 * x + g1, f2 * x + g2
            s = scale / math.sqrt(vx * vx + vy * vy + vz * vz)
            us[i] = centre + (a0 * vx + a1 * vy + a2 * vz) * s
            ws[i] = centre + (b0 * vx + b1 * vy + b2 * vz) * s


@numba.njit(nogil=True, cache=True)
def pixel_weights(cu, cw, y, x, n_sub, size, weights):
    """Integral of each node's bilinear hat over one pixel.

    Returns the window j0, j1, i0, i1 of ``weights`` that was filled (empty when the pixel is outside the grid).
    """
    u00, u01, u10, u11 = cu[y, x], cu[y, x + 1], cu[y + 1, x], cu[y + 1, x + 1]
    w00, w01, w10, w11 = cw[y, x], cw[y, x + 1], cw[y + 1, x], cw[y + 1, x + 1]
    i0 = max(int(math.floor(min(min(u00, u01), min(u10, u11)))), 0)
    i1 = min(int(math.floor(max(max(u00, u01), max(u10, u11)))) + 2, size)
    j0 = max(int(math.floor(min(min(w00, w01), min(w10, w11)))), 0)
    j1 = min(int(math.floor(max(max(w00, w01), max(w10, w11)))) + 2, size)
    if i1 <= i0 or j1 <= j0:
        return 0, 0, 0, 0
    for j in range(j0, j1):
        for i in range(i0, i1):
            weights[j, i] = 0.0
    area = 0.5 * abs((u11 - u00) * (w10 - w01) - (w11 - w00) * (u10 - u01))
    share = area / (n_sub * n_sub)
    for b in range(n_sub):
        t = (b + 0.5) / n_sub
        left_u, left_w = u00 + t * (u10 - u00), w00 + t * (w10 - w00)
        across_u, across_w = u01 + t * (u11 - u01) - left_u, w01 + t * (w11 - w01) - left_w
        for a in range(n_sub):
            s = (a + 0.5) / n_sub
            u, w = left_u + s * across_u, left_w + s * across_w
            fi = math.floor(u)
            fj = math.floor(w)
            i = int(fi)
            j = int(fj)
            du = u - fi
            dw = w - fj
            if j >= 0 and j < size:
                if i >= 0 and i < size:
                    weights[j, i] += share * (1.0 - du) * (1.0 - dw)
                if i + 1 >= 0 and i + 1 < size:
                    weights[j, i + 1] += share * du * (1.0 - dw)
            if j + 1 >= 0 and j + 1 < size:
                if i >= 0 and i < size:
                    weights[j + 1, i] += share * (1.0 - du) * dw
                if i + 1 >= 0 and i + 1 < size:
                    weights[j + 1, i + 1] += share * du * dw
    return j0, j1, i0, i1


@numba.njit(nogil=True, cache=True)
def slice_shares(kz, z, z0, nz, size, step, shares):
    """Share F[j, k] of slice k of the profile that falls into image z0 + j."""
    half = 0.5 * size
    root = 0.7071067811865476
    for k in range(size):
        a = (k - half) * step
        b = a + step
        whole = math.erf(b * root) - math.erf(a * root)
        for j in range(nz):
            ta = (z0 + j - z) * kz
            tb = (z0 + j + 1 - z) * kz
            if tb < ta:
                ta, tb = tb, ta
            lo = max(a, ta)
            hi = min(b, tb)
            if hi <= lo or whole <= 0.0:
                shares[j, k] = 0.0
            else:
                shares[j, k] = (math.erf(hi * root) - math.erf(lo * root)) / whole


@numba.njit(nogil=True, cache=True)
def image_planes(slices, shares, nz, planes):
    """What each image sees of a profile: its slices added up by their shares in the image.

    Parameters
    ----------
    slices : (s, s, s) float64
        The profile, axes e3, e2, e1.
    shares : (nz or more, s) float64
        See `slice_shares`.
    nz : int
    planes : (s, s, nz or more) float64, output
        Axes e2, e1, and the image.
    """
    size = slices.shape[0]
    plane = np.empty((size, size))
    for m in range(nz):
        plane[:] = 0.0
        for k in range(size):
            share = shares[m, k]
            if share != 0.0:
                for j in range(size):
                    for i in range(size):
                        plane[j, i] += share * slices[k, j, i]
        for j in range(size):
            for i in range(size):
                planes[j, i, m] = plane[j, i]


@numba.njit(nogil=True, cache=True)
def pixel_shares(planes, weights, j0, j1, i0, i1, nz, out):
    """What a pixel sees on each image: ``out`` (nz or more,), from `image_planes` and `pixel_weights`."""
    for m in range(nz):
        out[m] = 0.0
    for j in range(j0, j1):
        for i in range(i0, i1):
            w = weights[j, i]
            if w != 0.0:
                for m in range(nz):
                    out[m] += w * planes[j, i, m]
