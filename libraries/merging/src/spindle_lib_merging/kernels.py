"""Loops over observations sorted by unique reflection."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def merge_sorted(offsets, intensity, variance, internal, mean, sigma, deviation, total, spread, plain_mean):
    """Merge each run of equivalents with weights 1 / variance.

    Parameters
    ----------
    offsets : (m + 1,) int64
    intensity, variance : (n,) float64, sorted by reflection
    internal : bool
        sigma is the larger of the propagated one and the one from the scatter of the equivalents.
    mean, sigma : (m,) float64
        Output: weighted mean and its sigma.
    deviation : (m,) float64
        Output: sum of |I - mean|.
    total : (m,) float64
        Output: sum of I.
    spread : (m,) float64
        Output: unweighted sample variance of I (0 for single observations).
    plain_mean : (m,) float64
        Output: unweighted mean.
    """
    for j in range(offsets.shape[0] - 1):
        begin, end = offsets[j], offsets[j + 1]
        n = end - begin
        sum_w = 0.0
        sum_wi = 0.0
        sum_i = 0.0
        for i in range(begin, end):
            w = 1.0 / variance[i]
            sum_w += w
            sum_wi += w * intensity[i]
            sum_i += intensity[i]
        m = sum_wi / sum_w
        u = sum_i / n
        absolute = 0.0
        squares = 0.0
        weighted = 0.0
        for i in range(begin, end):
            r = intensity[i] - m
            absolute += abs(r)
            weighted += r * r / variance[i]
            squares += (intensity[i] - u) ** 2
        mean[j] = m
        sigma[j] = np.sqrt(1.0 / sum_w)
        if n > 1:
            spread[j] = squares / (n - 1)
            if internal:
                sigma[j] = max(sigma[j], np.sqrt(weighted / ((n - 1) * sum_w)))
        else:
            spread[j] = 0.0
        deviation[j] = absolute
        total[j] = sum_i
        plain_mean[j] = u


@njit(nogil=True, cache=True)
def merge_halves(offsets, intensity, variance, random, first, second):
    """Weighted means of two random halves of each run of equivalents.

    Parameters
    ----------
    offsets : (m + 1,) int64
    intensity, variance : (n,) float64, sorted by reflection
    random : (n,) float64 in [0, 1)
        One random number per observation; they decide the halves, and which half gets the odd one.
    first, second : (m,) float64
        Output; NaN for fewer than two observations.
    """
    longest = 0
    for j in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[j + 1] - offsets[j])
    pick = np.empty(longest, dtype=np.int64)
    for j in range(offsets.shape[0] - 1):
        begin = offsets[j]
        n = offsets[j + 1] - begin
        if n < 2:
            first[j] = np.nan
            second[j] = np.nan
            continue
        for i in range(n):
            pick[i] = begin + i
        for i in range(n - 1, 0, -1):
            k = int(random[begin + i] * (i + 1))
            pick[i], pick[k] = pick[k], pick[i]
        half = n // 2
        if n % 2 == 1 and random[begin] < 0.5:
            half += 1
        sum_w = 0.0
        sum_wi = 0.0
        for i in range(half):
            w = 1.0 / variance[pick[i]]
            sum_w += w
            sum_wi += w * intensity[pick[i]]
        first[j] = sum_wi / sum_w
        sum_w = 0.0
        sum_wi = 0.0
        for i in range(half, n):
            w = 1.0 / variance[pick[i]]
            sum_w += w
            sum_wi += w * intensity[pick[i]]
        second[j] = sum_wi / sum_w
