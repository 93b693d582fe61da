"""Spots on a grid in Kabsch's frame: counts spread over the grid, and fits made there.

The counts of a pixel are shared among the cells of the grid that it covers (each pixel is divided into equal parts, Kabsch 2010), those
of an image among the slices according to the Gaussian rocking curve. Reference profiles are then plain means, and what a pixel or an
image blurs is in them.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from .spread_kernels import pixel_lattice, slice_shares

VALID, FOREGROUND = 1, 4
PARTS = 5


@numba.njit(nogil=True, cache=True)
def _image_shares(kz, z, z0, nz, size, step, shares):
    """Share of the counts of image z0 + j that belongs to slice k, given the Gaussian."""
    half = 0.5 * size
    root = 0.7071067811865476
    for j in range(nz):
        ta = (z0 + j - z) * kz
        tb = (z0 + j + 1 - z) * kz
        if tb < ta:
            ta, tb = tb, ta
        whole = math.erf(tb * root) - math.erf(ta * root)
        for k in range(size):
            lo = max((k - half) * step, ta)
            hi = min((k + 1 - half) * step, tb)
            shares[j, k] = 0.0
            if hi > lo and whole > 0.0:
                shares[j, k] = (math.erf(hi * root) - math.erf(lo * root)) / whole


@numba.njit(nogil=True, cache=True)
def _cell_shares(cu, cw, y, x, size, cells):
    """Fill ``cells`` with the share of pixel (y, x) in each cell; returns the window j0, j1, i0, i1."""
    u00, u01, u10, u11 = cu[y, x], cu[y, x + 1], cu[y + 1, x], cu[y + 1, x + 1]
    w00, w01, w10, w11 = cw[y, x], cw[y, x + 1], cw[y + 1, x], cw[y + 1, x + 1]
    i0 = max(int(math.floor(min(min(u00, u01), min(u10, u11)) + 0.5)), 0)
    i1 = min(int(math.floor(max(max(u00, u01), max(u10, u11)) + 0.5)) + 1, size)
    j0 = max(int(math.floor(min(min(w00, w01), min(w10, w11)) + 0.5)), 0)
    j1 = min(int(math.floor(max(max(w00, w01), max(w10, w11)) + 0.5)) + 1, size)
    if i1 <= i0 or j1 <= j0:
        return 0, 0, 0, 0
    for j in range(j0, j1):
        for i in range(i0, i1):
            cells[j, i] = 0.0
    share = 1.0 / (PARTS * PARTS)
    for b in range(PARTS):
        t = (b + 0.5) / PARTS
        for a in range(PARTS):
            s = (a + 0.5) / PARTS
            i = int(math.floor((1.0 - t) * ((1.0 - s) * u00 + s * u01) + t * ((1.0 - s) * u10 + s * u11) + 0.5))
            j = int(math.floor((1.0 - t) * ((1.0 - s) * w00 + s * w01) + t * ((1.0 - s) * w10 + s * w11) + 0.5))
            if i >= 0 and i < size and j >= 0 and j < size:
                cells[j, i] += share
    return j0, j1, i0, i1


@numba.njit(nogil=True, cache=True)
def fit_grid(
    frames,
    kz,
    z,
    bbox,
    offsets,
    data,
    mask,
    background,
    background_variance,
    reference,
    references,
    expected,
    step,
    as_dials,
    only_transform,
    grids,
    value,
    variance,
    correlation,
):
    """Spread spots over the grid and, unless ``only_transform``, fit them there.

    Parameters
    ----------
    frames, kz, z, bbox, offsets, data, mask, background, background_variance, reference, references, expected, step
        As in `pixel_kernels.fit_pixels`.
    as_dials : bool
        Weights from the iterated estimate and variance \\|I\\| + \\|sum b\\|, else those of `fit_pixels`.
    only_transform : bool
        Only fill ``grids``.
    grids : (n or 0, s, s, s) float32, output
        Data less background, axes e2, e1, e3; filled with ``only_transform``.
    value, variance, correlation : (n,) float64, output
        As in `fit_pixels`; variance -1 where the fit failed.
    """
    n = bbox.shape[0]
    size = references.shape[1]
    centre = 0.5 * (size - 1)
    max_row, max_z, max_xy = 1, 1, 1
    for r in range(n):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        max_row = max(max_row, max(nx, ny) + 1)
        max_z = max(max_z, bbox[r, 5] - bbox[r, 4])
        max_xy = max(max_xy, nx * ny)
    cu = np.empty((max_row, max_row))
    cw = np.empty((max_row, max_row))
    forward = np.zeros((max_z, size))
    reverse = np.zeros((max_z, size))
    cells = np.zeros((size, size))
    c = np.zeros((size, size, size))
    b = np.zeros((size, size, size))
    a = np.zeros((size, size, size))
    slice_ok = np.zeros(size, np.bool_)
    column_d = np.zeros(size)
    column_b = np.zeros(size)
    for r in range(n):
        value[r], variance[r], correlation[r] = 0.0, -1.0, 0.0
        if not only_transform and reference[r] < 0:
            continue
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        nz = bbox[r, 5] - bbox[r, 4]
        start = offsets[r]
        plane = nx * ny
        pixel_lattice(frames[r], bbox[r, 0], bbox[r, 2], nx, ny, 1.0 / step, centre, cu, cw)
        _image_shares(kz[r], z[r], bbox[r, 4], nz, size, step, forward)
        c[:] = 0.0
        b[:] = 0.0
        for y in range(ny):
            for x in range(nx):
                some = False
                for k in range(size):
                    column_d[k] = 0.0
                    column_b[k] = 0.0
                for m in range(nz):
                    at = start + m * plane + y * nx + x
                    if mask[at] & VALID and mask[at] & FOREGROUND:
                        some = True
                        for k in range(size):
                            column_d[k] += forward[m, k] * data[at]
                            column_b[k] += forward[m, k] * background[at]
                if not some:
                    continue
                j0, j1, i0, i1 = _cell_shares(cu, cw, y, x, size, cells)
                for j in range(j0, j1):
                    for i in range(i0, i1):
                        w = cells[j, i]
                        if w > 0.0:
                            for k in range(size):
                                c[j, i, k] += w * column_d[k]
                                b[j, i, k] += w * column_b[k]
        if only_transform:
            for j in range(size):
                for i in range(size):
                    for k in range(size):
                        grids[r, j, i, k] = c[j, i, k] - b[j, i, k]
            continue
        # slices that the box does not reach are left out
        slice_shares(kz[r], z[r], bbox[r, 4], nz, size, step, reverse)
        any_slice = False
        for k in range(size):
            total = 0.0
            for m in range(nz):
                total += reverse[m, k]
            slice_ok[k] = total > 0.99
            any_slice = any_slice or slice_ok[k]
        if not any_slice:
            continue
        p = references[reference[r]]
        sum_c, sum_b, sum_p, count = 0.0, 0.0, 0.0, 0
        for j in range(size):
            for i in range(size):
                for k in range(size):
                    if slice_ok[k]:
                        sum_c += c[j, i, k]
                        sum_b += b[j, i, k]
                        sum_p += p[j, i, k]
                        count += 1
        if sum_c < 0.0 or sum_b < 0.0 or sum_p <= 0.05:
            continue
        floor = max(sum_b / count, 0.5 / count) * 0.05
        prior = expected[r]
        if prior < 0.0:
            prior = max((sum_c - sum_b) / sum_p, 1.0)
        estimate = sum_c - sum_b
        scale = abs(estimate) if as_dials else max(prior, 1e-3)
        s2 = 0.0
        converged = False
        for cycle in range(100 if as_dials else 2):
            top, bottom = 0.0, 0.0
            for j in range(size):
                for i in range(size):
                    for k in range(size):
                        a[j, i, k] = 0.0
                        if slice_ok[k] and p[j, i, k] > 0.0:
                            low = 1e-10 + abs(b[j, i, k]) if as_dials else max(b[j, i, k], floor)
                            f = p[j, i, k] / (low + scale * p[j, i, k])
                            top += f * (c[j, i, k] - b[j, i, k])
                            bottom += f * p[j, i, k]
                            a[j, i, k] = f
            last = estimate
            estimate = top / bottom
            if as_dials:
                if abs(estimate - last) < 1e-3:
                    converged = True
                    break
                scale = abs(estimate)
                continue
            # the estimate is linear in the pixels: its variance from the weight that each pixel has in the end
            s2, weight_sum, per_count, share_sum = 0.0, 0.0, 0.0, 0.0
            for y in range(ny):
                for x in range(nx):
                    j0, j1, i0, i1 = _cell_shares(cu, cw, y, x, size, cells)
                    if j1 == j0:
                        continue
                    for k in range(size):
                        column_d[k] = 0.0
                        column_b[k] = 0.0
                    for j in range(j0, j1):
                        for i in range(i0, i1):
                            w = cells[j, i]
                            if w > 0.0:
                                for k in range(size):
                                    column_d[k] += w * a[j, i, k]
                                    column_b[k] += w * p[j, i, k]
                    for m in range(nz):
                        at = start + m * plane + y * nx + x
                        if mask[at] & VALID and mask[at] & FOREGROUND:
                            w = 0.0
                            share = 0.0
                            for k in range(size):
                                w += forward[m, k] * column_d[k]
                                share += reverse[m, k] * column_b[k]
                            w /= bottom
                            s2 += w * w * max(background[at], 0.0)
                            per_count += w * w * share
                            share_sum += share
                            weight_sum += w
            s2 += scale * sum_p * per_count / max(share_sum, 1e-9) + weight_sum * weight_sum * background_variance[r]
            if cycle == 0:
                sigma = math.sqrt(max(s2, 1e-12))
                mean = estimate - s2 / max(prior, 1e-3)
                t = mean / sigma
                if t < -6.0:
                    scale = sigma / (-t + 1.0 / -t)
                else:
                    scale = mean + sigma * math.exp(-0.5 * t * t) / (
                        1.2533141373155003 * math.erfc(-t * 0.7071067811865476)
                    )
                scale = max(scale, 1e-3)
        if as_dials:
            if not converged:
                estimate = sum_c - sum_b
            s2 = abs(estimate) + abs(sum_b)
        if s2 <= 0.0:
            continue
        value[r] = estimate
        variance[r] = s2
        md, mm = sum_c / count, 0.0
        for j in range(size):
            for i in range(size):
                for k in range(size):
                    if slice_ok[k]:
                        mm += estimate * p[j, i, k] + b[j, i, k]
        mm /= count
        sdd, smm, sdm = 0.0, 0.0, 0.0
        for j in range(size):
            for i in range(size):
                for k in range(size):
                    if slice_ok[k]:
                        u = c[j, i, k] - md
                        v = estimate * p[j, i, k] + b[j, i, k] - mm
                        sdd += u * u
                        smm += v * v
                        sdm += u * v
        if sdd > 0.0 and smm > 0.0:
            correlation[r] = sdm / math.sqrt(sdd * smm)
