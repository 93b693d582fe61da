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
    planes : (nz or more, s + 3, s + 3) float64, output
        Axes image, e2, e1; beyond the profile, one node before it and two behind it, 0.
    """
    size = slices.shape[0]
    for m in range(nz):
        plane = planes[m]
        plane[:] = 0.0
        for k in range(size):
            share = shares[m, k]
            if share != 0.0:
                one = slices[k]
                for j in range(size):
                    row, of = plane[j + 1], one[j]
                    for i in range(size):
                        row[i + 1] += share * of[i]


@numba.njit(nogil=True, cache=True)
def sub_points(n_sub):
    """(n_sub,) float64: where sample points lie along the edge of a pixel."""
    return (np.arange(n_sub) + 0.5) / n_sub


@numba.njit(nogil=True, cache=True)
def pixel_samples(cu, cw, y, x, points, size, at, weights):
    """Where a pixel samples `image_planes`, the same on all images: bilinear at points spread over it.

    Parameters
    ----------
    cu, cw, y, x
        As in `pixel_weights`.
    points : (n,) float64
        See `sub_points`.
    size : int
        Of the profile.
    at : (n * n,) int64, output
        The first of the four nodes around each point, as the place in a plane.
    weights : (n * n, 4) float64, output
        Of this node, the next along e1, and those that follow them along e2; they add up to the area of the pixel in nodes.
    """
    u00, u01, u10, u11 = cu[y, x], cu[y, x + 1], cu[y + 1, x], cu[y + 1, x + 1]
    w00, w01, w10, w11 = cw[y, x], cw[y, x + 1], cw[y + 1, x], cw[y + 1, x + 1]
    n_sub = points.shape[0]
    share = 0.5 * abs((u11 - u00) * (w10 - w01) - (w11 - w00) * (u10 - u01)) / (n_sub * n_sub)
    width, end, n = size + 3, float(size), np.uint64(0)
    for b in range(n_sub):
        t = points[b]
        left_u, left_w = u00 + t * (u10 - u00), w00 + t * (w10 - w00)
        across_u, across_w = u01 + t * (u11 - u01) - left_u, w01 + t * (w11 - w01) - left_w
        for a in range(n_sub):
            s = points[a]
            u, w = left_u + s * across_u, left_w + s * across_w
            # what is further outside, or nowhere, samples the zeros there
            u, w = u if u > -1.0 else -1.0, w if w > -1.0 else -1.0
            u, w = u if u < end else end, w if w < end else end
            i, j = np.floor(u), np.floor(w)
            du, dw = u - i, w - j
            at[n] = (np.int64(j) + 1) * width + np.int64(i) + 1
            near, far = share * (1.0 - du), share * du
            weights[n, 0], weights[n, 1] = near * (1.0 - dw), far * (1.0 - dw)
            weights[n, 2], weights[n, 3] = near * dw, far * dw
            n += np.uint64(1)


@numba.njit(nogil=True, cache=True)
def sampled_share(plane, width, at, weights):
    """What a pixel sees of a plane ((s + 3)^2,) of an image, ``width`` s + 3; see `pixel_samples`."""
    total, one = 0.0, np.uint64(1)
    for s in range(at.shape[0]):
        k = np.uint64(at[s])
        below = k + np.uint64(width)
        total += (weights[s, 0] * plane[k] + weights[s, 1] * plane[k + one]) + (
            weights[s, 2] * plane[below] + weights[s, 3] * plane[below + one]
        )
    return total


@numba.njit(nogil=True, cache=True)
def grid_rectangle(e, x0, y0, nx, ny, scale, centre):
    """The part of a rectangle of pixels beyond which a grid does not reach: first and last pixel, half open, along x and y.

    Parameters
    ----------
    e, x0, y0, nx, ny, scale, centre
        As in `pixel_lattice`.

    Notes
    -----
    The grid is where the plane that touches its coordinates in the middle of the rectangle has it, and two pixels around that.
    """
    cu, cw = np.empty((2, 2)), np.empty((2, 2))
    xm, ym = x0 + nx // 2, y0 + ny // 2
    pixel_lattice(e, xm, ym, 1, 1, scale, centre, cu, cw)
    ux, uy, wx, wy = cu[0, 1] - cu[0, 0], cu[1, 0] - cu[0, 0], cw[0, 1] - cw[0, 0], cw[1, 0] - cw[0, 0]
    determinant = ux * wy - uy * wx
    if abs(determinant) < 1e-12:
        return 0, nx, 0, ny
    du, dw = (centre - cu[0, 0]) / determinant, (centre - cw[0, 0]) / determinant
    x, y = xm - x0 + du * wy - dw * uy, ym - y0 + dw * ux - du * wx
    reach = (centre + 1.0) / abs(determinant)
    wide, high = reach * (abs(wy) + abs(uy)) + 2.0, reach * (abs(wx) + abs(ux)) + 2.0
    if not (abs(x) < 1e9 and abs(y) < 1e9 and wide < 1e9 and high < 1e9):
        return 0, nx, 0, ny
    left, top = max(int(np.floor(x - wide)), 0), max(int(np.floor(y - high)), 0)
    right, bottom = min(int(np.ceil(x + wide)) + 1, nx), min(int(np.ceil(y + high)) + 1, ny)
    return left, max(left, right), top, max(top, bottom)
