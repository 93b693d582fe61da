"""Which blocks of an image may hold a spot: the dispersion test at one pixel of each."""

from __future__ import annotations

import numpy as np
from numba import njit

from spindle_lib_dispersion.windows import CEILING

__all__ = ["dispersion_limits", "find_blocks"]


def dispersion_limits(full: int, sigma_background: float, min_local: int) -> np.ndarray:
    """Limit of the dispersion test over gain and sum, for windows of m = 0 to ``full`` good pixels.

    m - 1 + n_b sqrt(2 (m - 1)); infinite where m is less than ``min_local``, so that such windows never pass.
    """
    n = np.maximum(np.arange(full + 1) - 1.0, 0.0)
    limits = n + sigma_background * np.sqrt(2.0 * n)
    limits[:min_local] = np.inf
    return limits


@njit(nogil=True, cache=True)
def _sum_columns(image, mask, first, last, cap, column_x, column_y, column_m):
    """Sums of the good pixels of rows ``first`` to ``last``, half open, and of their squares up to that of ``cap``.

    Two rows at a time: sums are loaded and stored half as often.
    """
    zero = column_x.dtype.type(0)
    column_x[:] = zero
    column_y[:] = zero
    column_m[:] = 0
    if (last - first) % 2:
        row = image[first]
        mask_row = mask[first]
        for j in range(row.shape[0]):
            good = (mask_row[j] != 0) & (row[j] < CEILING)
            value = column_x.dtype.type(row[j]) if good else zero
            limited = value if value < cap else cap
            limited = limited if limited > -cap else -cap
            column_x[j] = value
            column_y[j] = limited * limited
            column_m[j] = np.int32(good)
        first += 1
    for i in range(first, last, 2):
        row = image[i]
        below = image[i + 1]
        mask_row = mask[i]
        mask_below = mask[i + 1]
        for j in range(row.shape[0]):
            good = (mask_row[j] != 0) & (row[j] < CEILING)
            good_below = (mask_below[j] != 0) & (below[j] < CEILING)
            value = column_x.dtype.type(row[j]) if good else zero
            value_below = column_x.dtype.type(below[j]) if good_below else zero
            limited = value if value < cap else cap
            limited = limited if limited > -cap else -cap
            limited_below = value_below if value_below < cap else cap
            limited_below = limited_below if limited_below > -cap else -cap
            column_x[j] += value + value_below
            column_y[j] += limited * limited + limited_below * limited_below
            column_m[j] += np.int32(good) + np.int32(good_below)


@njit(nogil=True, cache=True)
def _sum_neighbours(columns, at, half):
    total = columns[at]
    for d in range(1, 2 * half + 1):
        total += columns[at + np.uint64(d)]
    return total


@njit(nogil=True, cache=True)
def _sum_windows(columns, half, size, windows):
    """Sums of ``2 half + 1`` neighbouring columns of a padded row around the centre of each block."""
    reach = np.uint64(size // 2)
    last = np.uint64(columns.shape[0] - 2 * half - 1)
    if half == 3:
        # The usual kernel, for which the loop is unrolled.
        for k in range(windows.shape[0]):
            windows[k] = _sum_neighbours(columns, min(np.uint64(k * size) + reach, last), 3)
    else:
        for k in range(windows.shape[0]):
            windows[k] = _sum_neighbours(columns, min(np.uint64(k * size) + reach, last), half)


@njit(nogil=True, cache=True)
def _screen(window_x, window_y, window_m, least, limits, largest, flags):
    """1 where the dispersion test may pass with the sums of a window, by a hair or because squares were cut."""
    for k in range(flags.shape[0]):
        x = np.float64(window_x[k])
        y = np.float64(window_y[k])
        m = window_m[k]
        wild = m * y * (1.0 + 1e-12) - x * x > least * x * limits[np.uint32(m)]
        flags[k] = np.uint8(wild | (y >= largest))


@njit(nogil=True, cache=True)
def _good_centre(mask, top, left, size):
    """Centre of the box around the good pixels of a block; (-1, -1) where there are none."""
    first_row = mask.shape[0]
    last_row = -1
    first_column = mask.shape[1]
    last_column = -1
    for row in range(top, min(top + size, mask.shape[0])):
        for c in range(left, min(left + size, mask.shape[1])):
            if mask[row, c] != 0:
                first_row = min(first_row, row)
                last_row = max(last_row, row)
                first_column = min(first_column, c)
                last_column = max(last_column, c)
    if last_row < 0:
        return -1, -1
    return (first_row + last_row) // 2, (first_column + last_column) // 2


@njit(nogil=True, cache=True)
def _passes(image, mask, p, q, gain, kernel, limits):
    """Whether the dispersion test passes at a pixel, with exact sums: of integers in int64, which does not wait for each addition."""
    height, width = image.shape
    zero = image.dtype.type(0) + np.int64(0)
    x = zero
    y = zero
    m = 0
    for row in range(max(0, p - kernel[0]), min(height, p + kernel[0] + 1)):
        for c in range(max(0, q - kernel[1]), min(width, q + kernel[1] + 1)):
            good = (mask[row, c] != 0) & (image[row, c] < CEILING)
            value = zero + image[row, c] if good else zero
            x += value
            y += value * value
            m += np.int64(good)
    fx = np.float64(x)
    return fx >= 0.0 and np.float64(m) * np.float64(y) - fx * fx > gain * fx * limits[m]


@njit(nogil=True, cache=True)
def find_blocks(
    image,
    mask,
    gain,
    kernel,
    limits,
    legacy_erosion,
    least_gain,
    cap,
    sums_x,
    sums_y,
    sums_m,
    blocks,
):
    """Set ``blocks`` to 1 where a block may hold a core pixel, because the dispersion test passes at its centre.

    The test is ``m y - x^2 > g x limits[m]`` for the m good pixels of the window, their sum x and sum of squares y;
    Winter et al. (2018), Acta Cryst. D74, 85. Whole rows are summed in narrow numbers and without branches, centres are
    screened with these sums, and what passes is tested with exact ones.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
        Pixel values.
    mask : (slow, fast) uint8
        1 = good, 0 = bad.
    gain : (1, 1) or (slow, fast) float64
        Counts per photon, one for all pixels or one each.
    kernel : (int, int)
        Half sizes of the window, slow and fast; at least 1.
    limits : (full + 1,) float64
        See `dispersion_limits`.
    legacy_erosion : bool
        True: masked pixels fail the test (DIALS to 3.12). False: they pass it.
    least_gain : float
        Minimum of `gain`.
    cap : number of the type of the sums
        Squares are summed up to that of this value; full cap^2 fits into the type. A window with a larger value is
        tested exactly.
    sums_x, sums_y, sums_m : (2, fast + 2 kernel_x) int32, or float64 for float images; sums_m always int32
        Workspace: sums of columns and of windows; int32 serves windows of at most 127 pixels.
    blocks : (ceil(slow / size), ceil(fast / size)) uint8, size = 2 min(kernel) - 1
        Result.
    """
    height, width = image.shape
    kernel_y, kernel_x = kernel
    reach = min(kernel_y, kernel_x) - 1
    size = 2 * reach + 1
    gain_step = 0 if gain.shape[0] == 1 else 1
    least = least_gain * (1.0 - 1e-9)
    largest = np.float64(cap) * np.float64(cap)
    sums_x[:] = 0
    sums_y[:] = 0
    sums_m[:] = 0
    n_blocks = blocks.shape[1]
    column_x = sums_x[0, kernel_x : kernel_x + width]
    column_y = sums_y[0, kernel_x : kernel_x + width]
    column_m = sums_m[0, kernel_x : kernel_x + width]
    window_x = sums_x[1, :n_blocks]
    window_y = sums_y[1, :n_blocks]
    window_m = sums_m[1, :n_blocks]
    for b in range(blocks.shape[0]):
        top = b * size
        i = min(top + reach, height - 1)
        flags = blocks[b]
        _sum_columns(
            image, mask, max(0, i - kernel_y), min(height, i + kernel_y + 1), cap, column_x, column_y, column_m
        )
        _sum_windows(sums_x[0], kernel_x, size, window_x)
        _sum_windows(sums_y[0], kernel_x, size, window_y)
        _sum_windows(sums_m[0], kernel_x, size, window_m)
        _screen(window_x, window_y, window_m, least, limits, largest, flags)
        for k in range(n_blocks):
            p = i
            q = min(k * size + reach, width - 1)
            if mask[p, q] == 0:
                flags[k] = 0
                if legacy_erosion or window_m[k] == 0:
                    continue  # a window that holds the whole block and no pixel that could pass
                # A masked centre counts as passed. The square around a good pixel also holds the centre of the good
                # pixels' box.
                p, q = _good_centre(mask, top, k * size, size)
                if p < 0:
                    continue
                if mask[p, q] == 0:
                    flags[k] = 1
                    continue
            elif flags[k] == 0:
                continue
            flags[k] = _passes(image, mask, p, q, gain[p * gain_step, q * gain_step], kernel, limits)
