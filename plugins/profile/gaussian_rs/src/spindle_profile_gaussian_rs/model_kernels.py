"""Spots of known intensity and profile as counts in pixels, and counts beyond them."""

from __future__ import annotations

import math

import numba
import numpy as np

from .spread_kernels import (
    grid_rectangle,
    image_planes,
    pixel_lattice,
    pixel_samples,
    sampled_share,
    slice_shares,
    sub_points,
)

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32


@numba.njit(nogil=True, cache=True)
def model_counts(frames, kz, z, bbox, offsets, reference, references, intensity, step, n_sub, out):
    """Expected counts of spots of known intensity in all pixels of their boxes.

    Parameters
    ----------
    frames, kz, z, bbox, offsets, reference, references, step, n_sub
        As in `pixel_kernels.fit_pixels`; a spot without pixels is passed over.
    intensity : (n,) float64, counts
    out : (p,) float32, output
    """
    size = references.shape[1]
    centre = 0.5 * (size - 1)
    max_z, max_row = 1, 1
    for r in range(bbox.shape[0]):
        max_row = max(max_row, max(bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]) + 1)
        max_z = max(max_z, bbox[r, 5] - bbox[r, 4])
    cu = np.empty((max_row, max_row))
    cw = np.empty((max_row, max_row))
    shares, planes = np.zeros((max_z, size)), np.empty((max_z, size + 3, size + 3))
    flat = planes.reshape(max_z, (size + 3) * (size + 3))
    points = sub_points(n_sub)
    at, weights = np.empty(n_sub * n_sub, np.int64), np.empty((n_sub * n_sub, 4))
    for r in range(bbox.shape[0]):
        if offsets[r + 1] == offsets[r] or intensity[r] <= 0.0:
            continue
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        nz = bbox[r, 5] - bbox[r, 4]
        x0, x1, y0, y1 = grid_rectangle(frames[r], bbox[r, 0], bbox[r, 2], nx, ny, 1.0 / step, centre)
        if x1 <= x0 or y1 <= y0:
            continue
        pixel_lattice(frames[r], bbox[r, 0] + x0, bbox[r, 2] + y0, x1 - x0, y1 - y0, 1.0 / step, centre, cu, cw)
        slice_shares(kz[r], z[r], bbox[r, 4], nz, size, step, shares)
        image_planes(references[reference[r]], shares, nz, planes)
        for y in range(y0, y1):
            for x in range(x0, x1):
                pixel_samples(cu, cw, y - y0, x - x0, points, size, at, weights)
                for m in range(nz):
                    seen = sampled_share(flat[m], size + 3, at, weights)
                    out[offsets[r] + (m * ny + y) * nx + x] = intensity[r] * seen


@numba.njit(nogil=True, cache=True)
def radial_sums(xy, bbox, offsets, data, mask, background, intensity, rows, width, out):
    """Counts beyond the foregrounds of spots in rings about their predicted positions.

    Parameters
    ----------
    xy : (n, 2) float64, px
    bbox : (n, 6) int32; offsets : (n + 1,) int64; data, background : (p,) float32; mask : (p,) uint8
        Shoeboxes.
    intensity : (n,) float64, counts
    rows : (m,) int64
        Spots to look at.
    width : float, px
        Of a ring.
    out : (r, 4) float64
        Added to, for pixels that are good, and under no other spot, on all images of the box: counts above the background, intensities of
        the spots, counts, intensities times distances.
    """
    for r in rows:
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        for y in range(ny):
            for x in range(nx):
                dx, dy = bbox[r, 0] + x + 0.5 - xy[r, 0], bbox[r, 2] + y + 0.5 - xy[r, 1]
                distance = math.sqrt(dx * dx + dy * dy)
                ring = int(distance / width)
                if ring >= out.shape[0]:
                    continue
                above, raw, good = 0.0, 0.0, True
                for z in range(bbox[r, 5] - bbox[r, 4]):
                    k = offsets[r] + (z * ny + y) * nx + x
                    if (mask[k] & (VALID | FOREGROUND | OVERLAPPED)) != VALID:
                        good = False
                        break
                    # a hit of something else: a pixel beyond the foreground holds less than a hundredth of a spot
                    bound = 0.01 * intensity[r]
                    excess = data[k] - background[k]
                    if excess > bound + 6.0 * math.sqrt(max(background[k], 0.0) + bound) + 3.0:
                        good = False
                        break
                    above += excess
                    raw += data[k]
                if good:
                    out[ring, 0] += above
                    out[ring, 1] += intensity[r]
                    out[ring, 2] += raw
                    out[ring, 3] += intensity[r] * distance


@numba.njit(nogil=True, cache=True)
def crowded_parts(offsets, mask, out):
    """Part of the pixels around each foreground that is under other spots, into ``out`` (n,) float64."""
    outside, others = np.uint8(FOREGROUND), np.uint8(FOREGROUND | OVERLAPPED)
    for r in range(out.shape[0]):
        own = mask[offsets[r] : offsets[r + 1]]
        around, under = 0, 0
        for k in range(own.shape[0]):
            around += (own[k] & outside) == 0
            under += (own[k] & others) == np.uint8(OVERLAPPED)
        out[r] = under / max(around, 1)
