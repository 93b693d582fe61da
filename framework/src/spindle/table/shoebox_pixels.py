"""Pixels of shoeboxes and their places on the panel."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["subtract_and_divide"]


@njit(nogil=True, cache=True)
def subtract_and_divide(rows, bbox, offsets, pedestal, gain, data):
    """Make (data - pedestal) / gain of the pixels of some shoeboxes of one panel.

    Parameters
    ----------
    rows : (m,) int64
        Which shoeboxes.
    bbox : (n, 6) int32
        x0, x1, y0, y1, z0, z1, half open. Where they reach beyond a map nothing is done.
    offsets : (n + 1,) int64
        First pixel of each shoebox in `data`; a shoebox may be empty.
    pedestal, gain : (1, 1) or (slow, fast) float32
        Pixels without a pedestal or a positive gain become 0.
    data : (n_pixels,) float32
        Changed in place; z slowest, x fastest.
    """
    pedestal_step = 0 if pedestal.size == 1 else 1
    gain_step = 0 if gain.size == 1 else 1
    height = max(pedestal.shape[0], gain.shape[0])
    width = max(pedestal.shape[1], gain.shape[1])
    bounded = height > 1 or width > 1
    for k in range(rows.shape[0]):
        i = rows[k]
        at = offsets[i]
        if offsets[i + 1] == at:
            continue
        for _ in range(bbox[i, 4], bbox[i, 5]):
            for y in range(bbox[i, 2], bbox[i, 3]):
                for x in range(bbox[i, 0], bbox[i, 1]):
                    if not bounded or (0 <= y < height and 0 <= x < width):
                        zero = pedestal[y * pedestal_step, x * pedestal_step]
                        factor = gain[y * gain_step, x * gain_step]
                        data[at] = (data[at] - zero) / factor if factor > 0 and np.isfinite(zero) else 0
                    at += 1
