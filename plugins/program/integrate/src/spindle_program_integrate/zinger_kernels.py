"""Kernels that find single pixels which neither profile nor counting explain."""

from __future__ import annotations

import numba
import numpy as np

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32
#: A pixel is stray when it exceeds twice the model by so many standard deviations, that share of the spot and so many counts together: the
#: limits of profile fits, which leave it out.
SIGMAS, SHARE, COUNTS = 6.0, 0.1, 3.0
#: It is alone when no pixel around it on the images before and after has this part of its excess, and on its own image only this many have.
PART, MOST_BESIDE = 0.25, 2


@numba.njit(nogil=True, cache=True)
def mask_lone(bbox, offsets, data, mask, background, model, intensity, hit):
    """Take the bit VALID off pixels of foregrounds that were hit by something else than the spot.

    Parameters
    ----------
    bbox : (n, 6) int32; offsets : (n + 1,) int64; data, background : (p,) float32; mask : (p,) uint8
        Shoeboxes; the mask is changed.
    model : (p,) float32, counts
        Of the spots.
    intensity : (n,) float64, counts
    hit : (n,) int64, output
        Number of pixels masked.

    Notes
    -----
    What a profile lacks is missing from pixels side by side and from one image to the next; a cosmic ray hits one pixel, or two or three
    beside each other, of one image. Pixels under other spots are left alone.
    """
    for r in range(bbox.shape[0]):
        nx, ny, nz = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2], bbox[r, 5] - bbox[r, 4]
        hit[r] = 0
        level = 0.0
        for k in range(offsets[r], offsets[r + 1]):
            level += max(background[k], 0.0)
        floor = 0.05 * max(level, 0.5) / max(offsets[r + 1] - offsets[r], 1)
        share = SHARE * max(intensity[r], 0.0)
        for z in range(nz):
            for y in range(ny):
                for x in range(nx):
                    k = offsets[r] + (z * ny + y) * nx + x
                    if (mask[k] & (VALID | FOREGROUND | OVERLAPPED)) != (VALID | FOREGROUND):
                        continue
                    expected = max(background[k], floor) + model[k]
                    excess = data[k] - background[k] - model[k]
                    if excess <= SIGMAS * np.sqrt(expected) + share + max(model[k], 0.0) + COUNTS:
                        continue
                    beside, alone = 0, True
                    for dz in range(-1, 2):
                        for dy in range(-1, 2):
                            for dx in range(-1, 2):
                                if (dx == 0 and dy == 0 and dz == 0) or not (
                                    0 <= x + dx < nx and 0 <= y + dy < ny and 0 <= z + dz < nz
                                ):
                                    continue
                                m = k + (dz * ny + dy) * nx + dx
                                if mask[m] & VALID and data[m] - background[m] - model[m] > PART * excess:
                                    if dz == 0:
                                        beside += 1
                                    else:
                                        alone = False
                    if not alone or beside > MOST_BESIDE:
                        continue
                    mask[k] &= ~np.uint8(VALID)
                    hit[r] += 1
                    # what it left in the pixels beside it
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            if not (0 <= x + dx < nx and 0 <= y + dy < ny):
                                continue
                            m = k + dy * nx + dx
                            above = data[m] - background[m] - model[m]
                            if (
                                mask[m] & (VALID | FOREGROUND) == (VALID | FOREGROUND)
                                and above > 3.0 * np.sqrt(max(background[m], floor) + model[m]) + COUNTS
                                and above > 0.03 * excess
                            ):
                                mask[m] &= ~np.uint8(VALID)
                                hit[r] += 1
