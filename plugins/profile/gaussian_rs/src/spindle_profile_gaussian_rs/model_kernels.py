"""Spots of known intensity and profile as counts in pixels."""

from __future__ import annotations

import numba
import numpy as np

from .spread_kernels import pixel_lattice, pixel_weights, slice_shares


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
    q = np.zeros(size)
    shares = np.zeros((max_z, size))
    wts = np.zeros((size, size))
    for r in range(bbox.shape[0]):
        if offsets[r + 1] == offsets[r] or intensity[r] <= 0.0:
            continue
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        nz = bbox[r, 5] - bbox[r, 4]
        profile = references[reference[r]]
        pixel_lattice(frames[r], bbox[r, 0], bbox[r, 2], nx, ny, 1.0 / step, centre, cu, cw)
        slice_shares(kz[r], z[r], bbox[r, 4], nz, size, step, shares)
        for y in range(ny):
            for x in range(nx):
                j0, j1, i0, i1 = pixel_weights(cu, cw, y, x, n_sub, size, wts)
                if j1 == j0:
                    continue
                for k in range(size):
                    q[k] = 0.0
                for j in range(j0, j1):
                    for i in range(i0, i1):
                        w = wts[j, i] * intensity[r]
                        if w != 0.0:
                            for k in range(size):
                                q[k] += w * profile[j, i, k]
                for m in range(nz):
                    value = 0.0
                    for k in range(size):
                        value += shares[m, k] * q[k]
                    out[offsets[r] + (m * ny + y) * nx + x] = value
