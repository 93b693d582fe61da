"""Sums over the window around each pixel, a row at a time."""

from __future__ import annotations

from numba import njit

__all__ = ["CEILING", "LARGEST_NARROW_WINDOW", "window_sums"]

#: Pixels at or above this value take no part in window sums (2^24, as in DIALS: counts stay exact in float32).
CEILING = 16777216
#: Windows of more pixels need wider sums than int32: 127 (2^24 - 1) < 2^31.
LARGEST_NARROW_WINDOW = 127


@njit(nogil=True, cache=True)
def window_sums(column, half, window):
    """Sums of ``2 half + 1`` neighbouring entries of a padded row, two shifted copies at a time.

    Parameters
    ----------
    column : (n + 2 half,) number
    half : int
    window : (n,) number
        Result.
    """
    n = window.shape[0]
    first = column[0:n]
    for j in range(n):
        window[j] = first[j]
    for d in range(1, 2 * half + 1, 2):
        one = column[d : d + n]
        two = column[d + 1 : d + 1 + n]
        for j in range(n):
            window[j] += one[j] + two[j]
