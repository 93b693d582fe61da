"""Reference profiles learned from pixels: the sums of expectation maximisation, see `pixel_kernels`."""

from __future__ import annotations

import numba
import numpy as np

from .spread_kernels import pixel_lattice, pixel_weights, slice_shares

VALID, FOREGROUND, OVERLAPPED = 1, 4, 32


@numba.njit(nogil=True, cache=True)
def accumulate_profile(
    frames,
    kz,
    z,
    bbox,
    offsets,
    data,
    mask,
    background,
    members,
    weights,
    spot_counts,
    profile,
    step,
    n_sub,
    numerator,
    denominator,
    reach,
):
    """One expectation-maximisation step over the members of a reference position.

    Parameters
    ----------
    frames : (n, 15) float64; kz, z : (n,) float64
        Local frames, sigma_m per image and predicted array index of the spots of a block.
    bbox : (n, 6) int32; offsets : (n + 1,) int64
        Boxes and the first pixel of each in the flat arrays (z, y, x).
    data, background : (p,) float32; mask : (p,) uint8
        Counts, background and mask bits.
    members : (m,) int64
        Which spots contribute; ``weights`` (m,) float64 how much.
    spot_counts : float
        Brighter spots weigh as much as spots of so many counts.
    profile : (s, s, s) float64
        Current density, axes e2, e1, e3.
    step : float
        Width of a grid cell in units of sigma.
    n_sub : int
        Sample points per pixel edge.
    numerator, denominator : (s, s, s) float64
        Added to: the new density is profile * numerator / denominator.
    reach : (s, s, s) float64
        Added to: what the denominator would be if no pixels were shared with other spots.

    Returns
    -------
    float
        Sum of weighted intensities: what ``denominator`` would be for a point that the foreground always covers.
    """
    size = profile.shape[0]
    centre = 0.5 * (size - 1)
    max_xy, max_z, max_row = 1, 1, 1
    for m in range(members.shape[0]):
        r = members[m]
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        max_xy = max(max_xy, nx * ny)
        max_row = max(max_row, max(nx, ny) + 1)
        max_z = max(max_z, bbox[r, 5] - bbox[r, 4])
    cu = np.empty((max_row, max_row))
    cw = np.empty((max_row, max_row))
    q = np.zeros((max_xy, size))
    shares = np.zeros((max_z, size))
    wts = np.zeros((size, size))
    # what nodes weigh in the pixels of a spot, found once and needed twice: windows, and one after the other their weights
    windows = np.empty((max_xy, 4), np.int64)
    kept = np.empty(max_xy * size * size)
    ratio = np.zeros(size)
    sens = np.zeros(size)
    reached = np.zeros(size)
    total = 0.0
    for m in range(members.shape[0]):
        r = members[m]
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        nz = bbox[r, 5] - bbox[r, 4]
        start = offsets[r]
        plane = nx * ny
        pixel_lattice(frames[r], bbox[r, 0], bbox[r, 2], nx, ny, 1.0 / step, centre, cu, cw)
        slice_shares(kz[r], z[r], bbox[r, 4], nz, size, step, shares)
        # expected share per pixel, and the spot's intensity from the pixels that are used
        counts, covered = 0.0, 0.0
        at_weight = 0
        for y in range(ny):
            for x in range(nx):
                pixel = y * nx + x
                use = False
                for j in range(nz):
                    if mask[start + j * plane + pixel] & FOREGROUND:
                        use = True
                if not use:
                    windows[pixel, 0] = -1
                    continue
                j0, j1, i0, i1 = pixel_weights(cu, cw, y, x, n_sub, size, wts)
                windows[pixel, 0], windows[pixel, 1], windows[pixel, 2], windows[pixel, 3] = j0, j1, i0, i1
                for k in range(size):
                    q[pixel, k] = 0.0
                for j in range(j0, j1):
                    for i in range(i0, i1):
                        w = wts[j, i]
                        kept[at_weight] = w
                        at_weight += 1
                        if w != 0.0:
                            for k in range(size):
                                q[pixel, k] += w * profile[j, i, k]
                for j in range(nz):
                    at = start + j * plane + pixel
                    bits = mask[at]
                    if bits & VALID and bits & FOREGROUND and not bits & OVERLAPPED:
                        p = 0.0
                        for k in range(size):
                            p += shares[j, k] * q[pixel, k]
                        counts += data[at] - background[at]
                        covered += p
        if covered < 0.5 or counts <= 0.0:
            continue
        intensity = counts / covered
        weight = weights[m] * min(1.0, spot_counts / intensity)
        total += weight * intensity
        at_weight = 0
        for y in range(ny):
            for x in range(nx):
                pixel = y * nx + x
                if windows[pixel, 0] < 0:
                    continue
                for k in range(size):
                    ratio[k] = 0.0
                    sens[k] = 0.0
                    reached[k] = 0.0
                for j in range(nz):
                    at = start + j * plane + pixel
                    bits = mask[at]
                    if bits & VALID and bits & FOREGROUND:
                        for k in range(size):
                            reached[k] += shares[j, k]
                    if bits & VALID and bits & FOREGROUND and not bits & OVERLAPPED:
                        p = 0.0
                        for k in range(size):
                            p += shares[j, k] * q[pixel, k]
                        expected = intensity * p + max(background[at], 1e-3)
                        f = data[at] / expected
                        for k in range(size):
                            ratio[k] += shares[j, k] * f
                            sens[k] += shares[j, k]
                j0, j1, i0, i1 = windows[pixel, 0], windows[pixel, 1], windows[pixel, 2], windows[pixel, 3]
                for j in range(j0, j1):
                    for i in range(i0, i1):
                        w = kept[at_weight] * weight * intensity
                        at_weight += 1
                        if w != 0.0:
                            for k in range(size):
                                numerator[j, i, k] += w * ratio[k]
                                denominator[j, i, k] += w * sens[k]
                                reach[j, i, k] += w * reached[k]
    return total
