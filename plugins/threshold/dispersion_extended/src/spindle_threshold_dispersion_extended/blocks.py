"""Which blocks of an image may hold a spot: the dispersion test at one pixel of each."""

from __future__ import annotations

import numpy as np
from numba import njit

from spindle_lib_dispersion.windows import CEILING, window_sums

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
def _add_row(pixels, mask, cap, column_x, column_y, column_m):
    """Add the good pixels of a row, and their squares up to that of ``cap``, to the sums of the columns."""
    zero = column_x.dtype.type(0)
    for j in range(pixels.shape[0]):
        good = (mask[j] != 0) & (pixels[j] < CEILING)
        value = column_x.dtype.type(pixels[j]) if good else zero
        column_x[j] += value
        limited = value if value < cap else cap
        limited = limited if limited > -cap else -cap
        column_y[j] += limited * limited
        column_m[j] += np.int32(good)


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
    column_x = sums_x[0, kernel_x : kernel_x + width]
    column_y = sums_y[0, kernel_x : kernel_x + width]
    column_m = sums_m[0, kernel_x : kernel_x + width]
    window_x = sums_x[1, :width]
    window_y = sums_y[1, :width]
    window_m = sums_m[1, :width]
    for b in range(blocks.shape[0]):
        top = b * size
        i = min(top + reach, height - 1)
        column_x[:] = 0
        column_y[:] = 0
        column_m[:] = 0
        for row in range(max(0, i - kernel_y), min(height, i + kernel_y + 1)):
            _add_row(image[row], mask[row], cap, column_x, column_y, column_m)
        window_sums(sums_x[0], kernel_x, window_x)
        window_sums(sums_y[0], kernel_x, window_y)
        window_sums(sums_m[0], kernel_x, window_m)
        for k in range(blocks.shape[1]):
            left = k * size
            p = i
            q = min(left + reach, width - 1)
            blocks[b, k] = 0
            if mask[p, q] != 0:
                x = np.float64(window_x[q])
                y = np.float64(window_y[q])
                m = window_m[q]
                if not ((m * y * (1.0 + 1e-12) - x * x > least * x * limits[m]) | (y >= largest)):
                    continue
            elif legacy_erosion or window_m[q] == 0:
                continue  # a window that holds the whole block and no pixel that could pass
            else:
                # A masked centre counts as passed. The square around a good pixel also holds the centre of the good
                # pixels' box.
                first_row = height
                last_row = -1
                first_column = width
                last_column = -1
                for row in range(top, min(top + size, height)):
                    for c in range(left, min(left + size, width)):
                        if mask[row, c] != 0:
                            first_row = min(first_row, row)
                            last_row = max(last_row, row)
                            first_column = min(first_column, c)
                            last_column = max(last_column, c)
                if last_row < 0:
                    continue
                p = (first_row + last_row) // 2
                q = (first_column + last_column) // 2
                if mask[p, q] == 0:
                    blocks[b, k] = 1
                    continue
            x = 0.0
            y = 0.0
            m = 0
            for row in range(max(0, p - kernel_y), min(height, p + kernel_y + 1)):
                for c in range(max(0, q - kernel_x), min(width, q + kernel_x + 1)):
                    good = (mask[row, c] != 0) & (image[row, c] < CEILING)
                    value = np.float64(image[row, c]) if good else 0.0
                    x += value
                    y += value * value
                    m += np.int64(good)
            if x >= 0.0 and m * y - x * x > gain[p * gain_step, q * gain_step] * x * limits[m]:
                blocks[b, k] = 1
