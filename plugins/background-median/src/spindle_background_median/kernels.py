"""Medians of ragged shoeboxes."""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["fit_median"]


@numba.njit(nogil=True, cache=True)
def fit_median(data, used, offsets, min_pixels, background, level, mean_variance, success):
    """Median of the used pixels of each shoebox.

    Parameters
    ----------
    data : (p,) float32, counts
    used : (p,) uint8
    offsets : (n + 1,) int64
    min_pixels : int
        Fewest used pixels for success.
    background : (p,) float32
        The median, in every pixel of the shoebox.
    level : (n,) float64
        The median.
    mean_variance : (n,) float64
        pi / 2 times the sample variance over the number of pixels: the variance of the median of normal deviates.
    success : (n,) bool
    """
    largest = 1
    for i in range(success.shape[0]):
        largest = max(largest, offsets[i + 1] - offsets[i])
    values = np.empty(largest, np.float64)
    for i in range(success.shape[0]):
        n = 0
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                values[n] = data[k]
                total += values[n]
                n += 1
        if n < min_pixels or n < 2:
            continue
        ordered = np.sort(values[:n])
        median = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
        squares = 0.0
        for j in range(n):
            squares += (ordered[j] - total / n) ** 2
        for k in range(offsets[i], offsets[i + 1]):
            background[k] = median
        level[i] = median
        mean_variance[i] = 0.5 * math.pi * squares / ((n - 1) * float(n))
        success[i] = True
