"""Kernels over the places of pixels: how places change from pixel to pixel, and which pixels are at some of them."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["pixels_of_bins", "slopes"]


@numba.njit(nogil=True, cache=True)
def slopes(place, down, along):
    """What `numpy.gradient` says of ``place`` (slow, fast) float32, both at least 2, into two arrays like it."""
    height, width = place.shape
    two = np.float32(2.0)
    for y in range(height):
        above, own, below = place[max(y - 1, 0)], place[y], place[min(y + 1, height - 1)]
        inside = 0 < y < height - 1
        d, a = down[y], along[y]
        for x in range(width):
            d[x] = below[x] - above[x]
        if inside:
            for x in range(width):
                d[x] = d[x] / two
        a[0], a[width - 1] = own[1] - own[0], own[width - 1] - own[width - 2]
        for x in range(1, width - 1):
            a[x] = (own[x + 1] - own[x - 1]) / two


@numba.njit(nogil=True, cache=True)
def pixels_of_bins(number, place, lowest, step, wanted, chosen):
    """Flat numbers of the pixels that were seen and lie in wanted bins, into ``chosen``; returns how many.

    Parameters
    ----------
    number, place, lowest, step
        As in `kernels.sum_bins`.
    wanted : (b,) bool
    chosen : (slow * fast,) int64
    """
    n, last = 0, wanted.shape[0] - 1
    for y in range(number.shape[0]):
        for x in range(number.shape[1]):
            if number[y, x] != 0 and wanted[min(int((place[y, x] - lowest) / step + 0.5), last)]:
                chosen[n] = y * number.shape[1] + x
                n += 1
    return n
