"""Geometry of spots in Kabsch's frame: local frames, bounding boxes, foreground, partiality.

Every spot carries one row of fifteen numbers, its *local frame*, from which all kernels of this package work:

``E1 (3) | E2 (3) | f (3) | s (3) | o (3)``

with ``E1 = e1 / sigma_1``, ``E2 = e2 / sigma_2`` (the widths of the spot along the two axes; equal to sigma_b when
the model is isotropic) and the laboratory point of pixel (x, y) being ``v = f x + s y + o`` (mm). The
coordinates of a pixel in units of the widths are then ``u = E1 . v / |v|`` and ``w = E2 . v / |v|``, because e1 and e2
are perpendicular to the diffracted beam. The offset ``o`` is chosen so that the predicted pixel maps onto the predicted
diffracted beam exactly, whatever the detector does with the depth of its sensor.

Along the rotation a spot has ``kz``: the distance of one image in units of sigma_m, with the sign of zeta.

Kabsch (2010), Acta Cryst. D66, 133-144.
"""

from __future__ import annotations

import math

import numba
import numpy as np

FRAME_SIZE = 15
FARTHEST = 1e6  # pixels; a box that reaches beyond belongs to a beam along the panel's plane


@numba.njit(nogil=True, cache=True)
def local_frames(s1, s0, panel, xy, d, d_inverse, pixel_size, sigma):
    """Local frame of each spot.

    Parameters
    ----------
    s1, s0 : (n, 3) float64, 1/angstrom
        Diffracted and incident beams.
    panel : (n,) int64
    xy : (n, 2) float64, pixel
        Predicted positions.
    d, d_inverse : (p, 3, 3) float64
        Panel matrices (columns fast, slow, origin) and their inverses.
    pixel_size : (p, 2) float64, mm
    sigma : (n, 2) float64, radian
        Widths along e1 and e2.

    Returns
    -------
    (n, 15) float64
    """
    n = s1.shape[0]
    out = np.empty((n, 15))
    for r in range(n):
        p = panel[r]
        ax, ay, az = s1[r, 0], s1[r, 1], s1[r, 2]
        bx, by, bz = s0[r, 0], s0[r, 1], s0[r, 2]
        length = math.sqrt(ax * ax + ay * ay + az * az)
        e1x = ay * bz - az * by
        e1y = az * bx - ax * bz
        e1z = ax * by - ay * bx
        norm = 1.0 / (math.sqrt(e1x * e1x + e1y * e1y + e1z * e1z) + 1e-300)
        e1x *= norm
        e1y *= norm
        e1z *= norm
        e2x = (ay * e1z - az * e1y) / length
        e2y = (az * e1x - ax * e1z) / length
        e2z = (ax * e1y - ay * e1x) / length
        w = 1.0 / sigma[r, 0]
        out[r, 0] = e1x * w
        out[r, 1] = e1y * w
        out[r, 2] = e1z * w
        w = 1.0 / sigma[r, 1]
        out[r, 3] = e2x * w
        out[r, 4] = e2y * w
        out[r, 5] = e2z * w
        m0 = d_inverse[p, 0, 0] * ax + d_inverse[p, 0, 1] * ay + d_inverse[p, 0, 2] * az
        m1 = d_inverse[p, 1, 0] * ax + d_inverse[p, 1, 1] * ay + d_inverse[p, 1, 2] * az
        m2 = d_inverse[p, 2, 0] * ax + d_inverse[p, 2, 1] * ay + d_inverse[p, 2, 2] * az
        dx = m0 / m2 - xy[r, 0] * pixel_size[p, 0]
        dy = m1 / m2 - xy[r, 1] * pixel_size[p, 1]
        for i in range(3):
            out[r, 6 + i] = d[p, i, 0] * pixel_size[p, 0]
            out[r, 9 + i] = d[p, i, 1] * pixel_size[p, 1]
            out[r, 12 + i] = d[p, i, 2] + d[p, i, 0] * dx + d[p, i, 1] * dy
    return out


@numba.njit(nogil=True, cache=True)
def turned_spots(s1, s0, axis):
    """What the rotation does to spots: squares of the widths that blocks turned by one radian give, see `geometry.growth`, and zeta.

    Parameters
    ----------
    s1, s0 : (n, 3) float64, 1/angstrom
    axis : (3,) float64
        Rotation axis in the laboratory, of length 1; 0 for stills.

    Returns
    -------
    (n, 3) float64
        p^2 + (m2.(p x e1) / zeta)^2, p^2, zeta.
    """
    out = np.empty((s1.shape[0], 3))
    for r in range(s1.shape[0]):
        ax, ay, az = s1[r, 0], s1[r, 1], s1[r, 2]
        bx, by, bz = s0[r, 0], s0[r, 1], s0[r, 2]
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        scale = 1.0 / (math.sqrt(x * x + y * y + z * z) + 1e-300)
        x, y, z = x * scale, y * scale, z * scale
        zeta = x * axis[0] + y * axis[1] + z * axis[2]
        px, py, pz = ax - bx, ay - by, az - bz
        lever = (py * z - pz * y) * axis[0] + (pz * x - px * z) * axis[1] + (px * y - py * x) * axis[2]
        lever /= 0.02 if abs(zeta) < 0.02 else zeta
        one = 1.0 / (bx * bx + by * by + bz * bz)
        squared = (px * px + py * py + pz * pz) * one
        out[r, 0], out[r, 1], out[r, 2] = squared + lever * lever * one, squared, zeta
    return out


@numba.njit(nogil=True, cache=True)
def bounding_boxes(frames, kz, z, half_b, half_m, first, last):
    """Bounding box of each spot: half widths ``half_b`` (units of the widths across) and ``half_m`` (units of sigma_m).

    Parameters
    ----------
    frames : (n, 15) float64
    kz : (n,) float64
        Sigma_m per image, signed; 0 means a still: one image.
    z : (n,) float64
        Predicted array index.
    first, last : (n,) int64
        Array range of the scan of each spot.

    Returns
    -------
    (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open. A box whose corner beams miss the panel plane is empty in x and y, as
        is that of a frame without widths.
    """
    n = frames.shape[0]
    out = np.zeros((n, 6), np.int32)
    for r in range(n):
        e = frames[r]
        length_1 = math.sqrt(e[0] * e[0] + e[1] * e[1] + e[2] * e[2])
        length_2 = math.sqrt(e[3] * e[3] + e[4] * e[4] + e[5] * e[5])
        # inverse of the matrix with columns f, s, o: rows are cross products over the determinant
        fx, fy, fz, sx, sy, sz, ox, oy, oz = e[6], e[7], e[8], e[9], e[10], e[11], e[12], e[13], e[14]
        r0x, r0y, r0z = sy * oz - sz * oy, sz * ox - sx * oz, sx * oy - sy * ox
        r1x, r1y, r1z = oy * fz - oz * fy, oz * fx - ox * fz, ox * fy - oy * fx
        r2x, r2y, r2z = fy * sz - fz * sy, fz * sx - fx * sz, fx * sy - fy * sx
        det = fx * r0x + fy * r0y + fz * r0z
        bad = length_1 == 0.0 or length_2 == 0.0 or det == 0.0  # no width, or the panel's plane goes through the sample
        sigma_1, sigma_2 = (0.0, 0.0) if bad else (1.0 / length_1, 1.0 / length_2)
        # e1 x e2 is the direction of the diffracted beam up to sign: (s1 x s0) x (s1 x (s1 x s0)) || s1
        nx = (e[1] * e[5] - e[2] * e[4]) * sigma_1 * sigma_2
        ny = (e[2] * e[3] - e[0] * e[5]) * sigma_1 * sigma_2
        nz = (e[0] * e[4] - e[1] * e[3]) * sigma_1 * sigma_2
        delta = half_b * half_b * (sigma_1 * sigma_1 + sigma_2 * sigma_2)
        bad = bad or delta >= 1.0
        x_low, x_high, y_low, y_high = 1e18, -1e18, 1e18, -1e18
        if not bad:
            along = math.sqrt(1.0 - delta)
            for i in range(4):
                a = half_b * sigma_1 * sigma_1 * (1.0 if i & 1 else -1.0)
                b = half_b * sigma_2 * sigma_2 * (1.0 if i & 2 else -1.0)
                vx = e[0] * a + e[3] * b + nx * along
                vy = e[1] * a + e[4] * b + ny * along
                vz = e[2] * a + e[5] * b + nz * along
                t = (r2x * vx + r2y * vy + r2z * vz) / det
                if t <= 0:
                    bad = True
                    break
                px = (r0x * vx + r0y * vy + r0z * vz) / det / t
                py = (r1x * vx + r1y * vy + r1z * vz) / det / t
                x_low, x_high = min(x_low, px), max(x_high, px)
                y_low, y_high = min(y_low, py), max(y_high, py)
            # Also what is not a number: then no corner counted, and the limits are still the wrong way round.
            if not (-FARTHEST <= x_low <= x_high <= FARTHEST and -FARTHEST <= y_low <= y_high <= FARTHEST):
                bad = True
        if not bad:
            out[r, 0] = math.floor(x_low)
            out[r, 1] = math.ceil(x_high)
            out[r, 2] = math.floor(y_low)
            out[r, 3] = math.ceil(y_high)
        if kz[r] == 0.0:
            z0 = int(math.floor(z[r]))
            z1 = z0 + 1
        else:
            half = min(half_m / abs(kz[r]), 1e8)
            z0 = int(math.floor(z[r] - half))
            z1 = int(math.ceil(z[r] + half))
        z0 = min(max(z0, first[r]), last[r] - 1)
        z1 = min(max(z1, first[r] + 1), last[r])
        out[r, 4] = z0
        out[r, 5] = max(z1, z0 + 1)
    return out


@numba.njit(nogil=True, cache=True)
def _corners_within(e, du, dw, two, far, x, y, n):
    """First and last, half open, of the n corners from (x, y) on along x that may lie within sqrt(far) widths; one to spare each way.

    Where u^2 + w^2 = far v^2 is a parabola in x that opens upwards, of ``two`` as its leading coefficient, all are between its roots.
    """
    vx, vy, vz = e[6] * x + e[9] * y + e[12], e[7] * x + e[10] * y + e[13], e[8] * x + e[11] * y + e[14]
    u, w = e[0] * vx + e[1] * vy + e[2] * vz, e[3] * vx + e[4] * vy + e[5] * vz
    one = u * du + w * dw - far * (vx * e[6] + vy * e[7] + vz * e[8])
    zero = u * u + w * w - far * (vx * vx + vy * vy + vz * vz)
    inside = one * one - two * zero
    scale = one * one + abs(two * zero)
    if not (two > 0.0 and inside < 1e12 * two * two):  # another kind of curve, nearly a line, or not a number
        return 0, n
    if inside < -1e-9 * scale:
        return 0, 0
    middle, half = -one / two, math.sqrt(max(inside, 0.0) + 1e-9 * scale) / two
    if not (middle + half > -2.0 and middle - half < n + 2.0):
        return 0, 0
    return max(int(max(middle - half, 0.0)) - 1, 0), min(int(min(middle + half, n + 0.0)) + 3, n)


@numba.njit(nogil=True, cache=True)
def _mark_corners(e, x0, y, near, far, first, last, codes):
    """Codes of some corners from (x0, y) on along x: bit 1 within sqrt(near) widths of the beam, bit 2 within sqrt(far)."""
    ax, ay, az = e[9] * y + e[12], e[10] * y + e[13], e[11] * y + e[14]
    for i in range(first, last):
        x = x0 + i
        vx, vy, vz = e[6] * x + ax, e[7] * x + ay, e[8] * x + az
        u = e[0] * vx + e[1] * vy + e[2] * vz
        w = e[3] * vx + e[4] * vy + e[5] * vz
        squared, length = u * u + w * w, vx * vx + vy * vy + vz * vz
        codes[i] = np.uint8(squared <= near * length) | (np.uint8(squared <= far * length) << np.uint8(1))


@numba.njit(nogil=True, cache=True)
def foreground_masks(frames, bbox, offsets, radius, halo):
    """Which pixels of each box belong to the spot: those with a corner within ``radius`` widths of the predicted beam.

    Parameters
    ----------
    frames : (n, 15) float64
    bbox : (n, 6) int32
    offsets : (n + 1,) int64
        Start of each spot's (ny, nx) rectangle in the result.
    radius, halo : float
        In units of the widths; no larger halo than radius: no halo.

    Returns
    -------
    (offsets[-1],) uint8
        1 inside, 2 in the halo, 0 outside; y slow, x fast.
    """
    n = frames.shape[0]
    out = np.zeros(offsets[n], np.uint8)
    near = radius * radius
    far = max(halo * halo, near)
    widest = 0
    for r in range(n):
        widest = max(widest, bbox[r, 1] - bbox[r, 0])
    # codes of a row of corners and of that before it
    above, below = np.zeros(widest + 1, np.uint8), np.zeros(widest + 1, np.uint8)
    for r in range(n):
        nx = bbox[r, 1] - bbox[r, 0]
        ny = bbox[r, 3] - bbox[r, 2]
        e = frames[r]
        start, x0 = offsets[r], float(bbox[r, 0])
        found = np.uint8(0)
        # what u, w and their square less `far` grow by along x, see `_corners_within`
        du, dw = e[0] * e[6] + e[1] * e[7] + e[2] * e[8], e[3] * e[6] + e[4] * e[7] + e[5] * e[8]
        two = du * du + dw * dw - far * (e[6] * e[6] + e[7] * e[7] + e[8] * e[8])
        above[: nx + 1] = 0
        before, until = nx, 0
        for j in range(ny + 1):
            y = float(bbox[r, 2] + j)
            first, last = _corners_within(e, du, dw, two, far, x0, y, nx + 1)
            if last <= first:
                first, last = nx, 0
            below[: nx + 1] = 0
            _mark_corners(e, x0, y, near, far, first, last, below)
            if j > 0:
                row = out[start + (j - 1) * nx : start + j * nx]
                for i in range(max(min(first, before) - 1, 0), min(max(last, until), nx)):
                    code = above[i] | above[i + 1] | below[i] | below[i + 1]
                    inside = code & np.uint8(1)
                    row[i] = inside | (code & np.uint8(2) & ~(inside << np.uint8(1)))
                    found |= inside
            above, below = below, above
            before, until = first, last
        # a spot smaller than a pixel may have no corner inside: its own pixel still belongs to it
        if found == 0 and nx > 0 and ny > 0:
            out[start + (ny // 2) * nx + nx // 2] = 1
    return out


@numba.njit(nogil=True, cache=True)
def recorded_fractions(kz, z, z0, z1):
    """Fraction of a Gaussian reflection recorded between two array indices.

    Parameters
    ----------
    kz : (n,) float64
        Sigma_m per image; 0 means a still.
    z, z0, z1 : (n,) float64
        Centre and limits, array index.

    Returns
    -------
    (n,) float64
        1/2 [erf((z1 - z) |kz| / sqrt 2) - erf((z0 - z) |kz| / sqrt 2)]; 1 for stills.
    """
    n = kz.shape[0]
    out = np.ones(n)
    for r in range(n):
        c = abs(kz[r]) * 0.7071067811865476
        if c > 0.0:
            out[r] = 0.5 * (math.erf(c * (z1[r] - z[r])) - math.erf(c * (z0[r] - z[r])))
    return out
