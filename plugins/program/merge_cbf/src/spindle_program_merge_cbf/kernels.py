"""Sums of images in which bad and overloaded pixels stay what they are."""

from __future__ import annotations

import numba


@numba.njit(nogil=True, cache=True)
def add_image(raw, low, high, total, bad, over):
    """Add the counts of one image.

    Parameters
    ----------
    raw : (slow, fast) int32
    low, high : int64
        Trusted range, both ends included; negative values are never trusted.
    total : (slow, fast) int64
        Counts so far.
    bad : (slow, fast) int32
        0 for good pixels, else the least negative-coded value of the images: -2 stays before -1.
    over : (slow, fast) uint8
        1 for pixels that were overloaded in any image.
    """
    for i in range(raw.shape[0]):
        for j in range(raw.shape[1]):
            value = raw[i, j]
            if value < 0:
                bad[i, j] = min(bad[i, j], value)
            elif value < low:
                bad[i, j] = min(bad[i, j], -1)
            elif value > high:
                over[i, j] = 1
            else:
                total[i, j] += value


@numba.njit(nogil=True, cache=True)
def finish_sum(total, bad, over, ceiling, out):
    """Pixels of the sum; returns the number of overloaded ones.

    Parameters
    ----------
    total, bad, over
        As `add_image` leaves them.
    ceiling : int64
        Largest trusted value of the sum; overloaded pixels get the one above.
    out : (slow, fast) int32
    """
    n = 0
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            if bad[i, j] < 0:
                out[i, j] = bad[i, j]
            elif over[i, j] != 0 or total[i, j] > ceiling:
                out[i, j] = ceiling + 1
                n += 1
            else:
                out[i, j] = total[i, j]
    return n
