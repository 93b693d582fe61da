"""Medians of ragged shoeboxes."""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["fit_median"]

#: Beyond this median the Poisson distribution is as good as symmetric about its mean less 1/6.
MANY_COUNTS = 100.0


@numba.njit(nogil=True, cache=True)
def fit_median(data, used, offsets, min_pixels, counts, background, level, mean_variance, success):
    """Median of the used pixels of each shoebox.

    Parameters
    ----------
    data : (p,) float32, counts
    used : (p,) uint8
    offsets : (n + 1,) int64
    min_pixels : int
        Fewest used pixels for success.
    counts : bool
        Where the used pixels are whole numbers, none of them negative, take the mean of the Poisson distribution that has the
        observed median, interpolated within the pixels of equal counts; else the median as it is.
    background : (p,) float32
        The estimate, in every pixel of the shoebox.
    level : (n,) float64
        The estimate.
    mean_variance : (n,) float64
        Its variance.
    success : (n,) bool

    Notes
    -----
    Let k be the median, C the share of pixels below it, f the share of those at it, and w = (1/2 - C) / f the part of the pixels at
    k that is needed to have one half. The estimate is the mean m with P(below k; m) + w P(k; m) = 1/2; for k = 0 this is -ln f. The
    variance of the left side is that of a mean over n pixels, (C + w^2 f - 1/4) / n, and its derivative with respect to m is
    -(w P(k) + (1 - w) P(k - 1)). Where pixels scatter more than counts do, the variance grows in proportion. The variance of the
    plain median is pi / 2 times that of a mean, as for normal deviates.
    """
    largest = 1
    for i in range(success.shape[0]):
        largest = max(largest, offsets[i + 1] - offsets[i])
    values = np.empty(largest, np.float64)
    for i in range(success.shape[0]):
        n = 0
        total = 0.0
        whole = counts
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                values[n] = data[k]
                total += values[n]
                whole = whole and values[n] >= 0.0 and values[n] == math.floor(values[n])
                n += 1
        if n < min_pixels or n < 2:
            continue
        ordered = np.sort(values[:n])
        median = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
        squares = 0.0
        for j in range(n):
            squares += (ordered[j] - total / n) ** 2
        scatter = squares / (n - 1)
        variance = 0.5 * math.pi * scatter / n
        if whole:
            median, variance = _poisson_mean(ordered, scatter)
        for k in range(offsets[i], offsets[i + 1]):
            background[k] = median
        level[i] = median
        mean_variance[i] = variance
        success[i] = True


@numba.njit(nogil=True, cache=True)
def _poisson_mean(ordered, scatter):
    """Mean of the Poisson distribution with the median of sorted counts, and its variance."""
    n = ordered.shape[0]
    middle = ordered[(n - 1) // 2]
    below, equal = 0, 0
    for j in range(n):
        if ordered[j] < middle:
            below += 1
        elif ordered[j] == middle:
            equal += 1
    part = (0.5 * n - below) / equal
    mean = middle - 0.5 + part + 1.0 / 6.0
    slope = 1.0 / math.sqrt(2.0 * math.pi * max(mean, 1e-3))
    if middle <= MANY_COUNTS:
        low, high = 0.0, middle + 2.0  # the median of a Poisson distribution is never that far below its mean
        for _ in range(60):
            mean = 0.5 * (low + high)
            probability, before, total = math.exp(-mean), 0.0, 0.0
            for k in range(int(middle)):
                total += probability
                before = probability
                probability *= mean / (k + 1)
            slope = part * probability + (1.0 - part) * before
            if total + part * probability > 0.5:
                low = mean
            else:
                high = mean
            if high - low < 1e-9:
                break
    # all pixels alike tell no variance: no count in n pixels is that of half a count in them
    variance = max((below / n + part**2 * equal / n - 0.25) / (n * slope**2), 0.5 / n**2)
    return mean, variance * max(1.0, scatter / max(mean, 0.5 / n))
