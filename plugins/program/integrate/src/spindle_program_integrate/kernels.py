"""Kernels over shoeboxes: background pixels, noise, sums."""

from __future__ import annotations

import numba
import numpy as np

VALID, BACKGROUND, FOREGROUND, BACKGROUND_USED, OVERLAPPED, HALO = 1, 2, 4, 16, 32, 64


@numba.njit(nogil=True, cache=True)
def free_crowded(starts, mask, enough, least):
    """Give a spot whose surroundings are all under neighbours background pixels back, and tell which are crowded.

    Where fewer than ``least`` usable background pixels remain, or fewer than ``enough`` of five times as many, the bit OVERLAPPED is taken
    off those of its background that are in nothing but halos, which hold a hundredth of the photons of a spot; where there are fewer than ``least`` even so, off all. The bit HALO is
    taken off every pixel.

    Returns
    -------
    (n,) bool
        Spots with fewer than ``least`` free background pixels, or with less than a fifth of them free.
    """
    crowded = np.zeros(starts.shape[0] - 1, np.bool_)
    usable, shared = np.uint8(VALID | BACKGROUND), np.uint8(VALID | BACKGROUND | OVERLAPPED)
    for r in range(starts.shape[0] - 1):
        own = mask[starts[r] : starts[r + 1]]
        free, in_halos, n = 0, 0, 0
        for k in range(own.shape[0]):  # without branches, which nobody can foresee
            n += (own[k] & usable) == usable
            free += (own[k] & shared) == usable
            in_halos += (own[k] & (shared | np.uint8(HALO))) == (shared | np.uint8(HALO))
        some, every = free < least or (free < enough and 5 * free < n), free + in_halos < least
        crowded[r] = every or free < least or 5 * free < n
        if some or every:
            for k in range(own.shape[0]):
                if own[k] & BACKGROUND and (every or own[k] & HALO):
                    own[k] &= ~np.uint8(OVERLAPPED)
        for k in range(own.shape[0]):
            own[k] &= ~np.uint8(HALO)
    return crowded


@numba.njit(nogil=True, cache=True)
def has_negative(data, mask):
    """Whether a valid pixel has a value below zero."""
    found = False
    for k in range(data.shape[0]):
        found |= (data[k] < 0.0) & ((mask[k] & VALID) != 0)
    return found


@numba.njit(nogil=True, cache=True)
def background_scatter(starts, data, mask, background, pixels, lowest, scatter, level):
    """How the background pixels of each shoebox scatter about their background.

    Parameters
    ----------
    starts : (n + 1,) int64; data, background : (m,) float32; mask : (m,) uint8
    pixels : (n,) int64, output
        Pixels that the background was made from or, where it was made from none, could have been.
    lowest : (n,) float64, output
        The smallest value among them, or 0 when all are larger.
    scatter : (n,) float64, output
        Their variance about the background; the mean was taken from them, hence n - 1.
    level : (n,) float64, output
        Mean background of the foreground.
    """
    for r in range(starts.shape[0] - 1):
        n_used, n_usable, n_fg = 0, 0, 0
        used, usable, total = 0.0, 0.0, 0.0
        low_used, low_usable = 0.0, 0.0
        for k in range(starts[r], starts[r + 1]):
            bits = mask[k]
            if bits & FOREGROUND:
                n_fg += 1
                total += background[k]
            difference = np.float64(data[k]) - background[k]
            if (bits & (VALID | BACKGROUND | OVERLAPPED)) == (VALID | BACKGROUND):
                n_usable += 1
                usable += difference * difference
                low_usable = min(low_usable, data[k])
            if bits & BACKGROUND_USED:
                n_used += 1
                used += difference * difference
                low_used = min(low_used, data[k])
        made = n_used > 0
        pixels[r] = n_used if made else n_usable
        lowest[r] = low_used if made else low_usable
        scatter[r] = (used if made else usable) / max(pixels[r] - 1, 1)
        level[r] = total / max(n_fg, 1)


@numba.njit(nogil=True, cache=True)
def mark_used(used, mask):
    """Give the pixels (p,) that are used the bit BACKGROUND_USED in ``mask`` (p,) uint8."""
    for k in range(mask.shape[0]):
        mask[k] |= np.uint8(used[k]) << np.uint8(4)


@numba.njit(nogil=True, cache=True)
def sum_pixels(starts, data, mask, background, counts, sums):
    """Counts of pixels and sums over the foreground of each shoebox.

    Parameters
    ----------
    starts : (n + 1,) int64; data, background : (m,) float32; mask : (m,) uint8
    counts : (n, 8) int64, output
        Valid, valid foreground, valid background, background used, all foreground, invalid foreground, invalid
        background, overlapped (bit 1: foreground, bit 2: background).
    sums : (n, 2) float64, output
        Data and background summed over the valid foreground.
    """
    for r in range(starts.shape[0] - 1):
        n_valid, n_fg, n_bg, n_used, all_fg, bad_fg, bad_bg, over = 0, 0, 0, 0, 0, 0, 0, 0
        s, b = 0.0, 0.0
        for k in range(starts[r], starts[r + 1]):
            bits = mask[k]
            valid = (bits & VALID) != 0
            if valid:
                n_valid += 1
            if bits & FOREGROUND:
                all_fg += 1
                if valid:
                    n_fg += 1
                    s += data[k]
                    b += background[k]
                else:
                    bad_fg += 1
                if bits & OVERLAPPED:
                    over |= 1
            elif bits & BACKGROUND:
                if valid:
                    n_bg += 1
                else:
                    bad_bg += 1
                if bits & OVERLAPPED:
                    over |= 2
            if bits & BACKGROUND_USED:
                n_used += 1
        counts[r, 0] = n_valid
        counts[r, 1] = n_fg
        counts[r, 2] = n_bg
        counts[r, 3] = n_used
        counts[r, 4] = all_fg
        counts[r, 5] = bad_fg
        counts[r, 6] = bad_bg
        counts[r, 7] = over
        sums[r, 0] = s
        sums[r, 1] = b


@numba.njit(nogil=True, cache=True)
def join_pieces(starts, rows, begins, data, mask, whole_data, whole_mask):
    """Copy runs of pixels to their places.

    Parameters
    ----------
    starts : (n + 1,) int64
        First pixel of each run in ``data`` (p,) float32 and ``mask`` (p,) uint8.
    rows : (m,) int64
        The runs to copy.
    begins : (m,) int64
        Where each begins in ``whole_data`` and ``whole_mask``, which are filled.
    """
    for i in range(rows.shape[0]):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        whole_data[begins[i] : begins[i] + last - first] = data[first:last]
        whole_mask[begins[i] : begins[i] + last - first] = mask[first:last]


def csr_pixels(starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(offsets[-1],) int64: places of some runs in a flat array that begin at ``starts`` (n,), their ends added up in ``offsets`` (n + 1,)."""
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], np.diff(offsets))
