"""The dispersion test as one pass over an image: column sums, window sums, and the variance only where it can matter.

One row of window sums costs a few additions per pixel: the sums of each column over the window's rows are kept, and
shifted copies of them add up to the windows. The test "is this pixel stronger than its surroundings" is evaluated for a
whole row in a loop without branches; the few pixels that pass it pay for the variance of their own window.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spindle_lib_dispersion.windows import CEILING, window_sums

__all__ = ["dispersion"]


@njit(nogil=True, cache=True)
def _exchange_row(pixels, mask, kept, kept_good, column, count):
    """Put a row's good pixels in place of the row that leaves the window; say whether a count has changed."""
    zero = kept.dtype.type(0)
    changed = np.uint8(0)
    for j in range(pixels.shape[0]):
        good = (mask[j] != 0) & (pixels[j] < CEILING)
        value = kept.dtype.type(pixels[j]) if good else zero
        column[j] += value - kept[j]
        kept[j] = value
        count[j] += np.int32(good) - np.int32(kept_good[j])
        changed |= np.uint8(good) ^ kept_good[j]
        kept_good[j] = np.uint8(good)
    return changed


@njit(nogil=True, cache=True)
def _flag_row(image, mask, window, count, screen, flags):
    """Flag the pixels of a row that may be stronger than their surroundings: (m I - x)^2 > screen x m."""
    zero = np.float32(0.0)
    for j in range(window.shape[0]):
        x = np.float32(window[j])
        m = np.float32(count[j])
        excess = m * np.float32(image[j]) - x
        flags[j] = mask[j] & np.uint8(excess > zero) & np.uint8(excess * excess >= screen * x * m)


@njit(nogil=True, cache=True)
def dispersion(
    image,
    mask,
    gain,
    least_gain,
    kernel,
    sigma_background,
    sigma_strong,
    min_local,
    global_threshold,
    row_sums,
    row_counts,
    rows,
    rows_good,
    flags,
    flag_words,
    out,
):
    """Mark the strong pixels of one image.

    A pixel is strong where, over the good pixels of the window around it (m pixels, sum x, sum of squares y),
    ``m y - x^2 > g x (m - 1 + n_b sqrt(2 (m - 1)))`` and ``m I - x > n_s sqrt(g x m)``; Winter et al. (2018), Acta
    Cryst. D74, 85.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
        Pixel values.
    mask : (slow, fast) uint8
        1 = good, 0 = bad.
    gain : (1, 1) or (slow, fast) float64
        Counts per photon, one for all pixels or one each.
    least_gain : float
        Minimum of `gain`.
    kernel : (int, int)
        Half sizes of the window, slow and fast.
    sigma_background, sigma_strong : float
        n_b and n_s; n_s >= 0.
    min_local : int
        Fewest good pixels of a window.
    global_threshold : float, counts
        A strong pixel is above it.
    row_sums : (2, fast + 2 kernel_x) int32, or float64 for float images
        Workspace. int32 serves windows of at most 127 pixels.
    row_counts : (2, fast + 2 kernel_x) int32
        Workspace.
    rows : (2 kernel_y + 1, fast + 2 kernel_x), dtype of row_sums
        Workspace: the rows of the window, bad pixels and margins 0.
    rows_good : (2 kernel_y + 1, fast) uint8
        Workspace.
    flags : (8 ceil(fast / 8),) uint8
        Workspace.
    flag_words : (ceil(fast / 8),) uint64
        The same memory seen as words: eight unflagged pixels cost one comparison.
    out : (slow, fast) bool
        Result; every pixel is written.
    """
    height, width = image.shape
    kernel_y, kernel_x = kernel
    row_sums[:] = 0
    row_counts[:] = 0
    rows[:] = 0
    rows_good[:] = 0
    n_rows = 2 * kernel_y + 1
    column = row_sums[0, kernel_x : kernel_x + width]
    window = row_sums[1, :width]
    column_count = row_counts[0, kernel_x : kernel_x + width]
    window_count = row_counts[1, :width]
    gain_step = 0 if gain.shape[0] == 1 else 1
    # Screening only: a little below the true limit, so that rounding loses no pixel.
    screen = np.float32(sigma_strong * sigma_strong * least_gain * 0.999)
    no_good = np.zeros(width, np.uint8)
    zero = rows.dtype.type(0)
    stale = True
    for row in range(height + kernel_y):
        slot = row % n_rows
        inside = row < height
        changed = _exchange_row(
            image[row if inside else 0],
            mask[row] if inside else no_good,
            rows[slot, kernel_x : kernel_x + width],
            rows_good[slot],
            column,
            column_count,
        )
        stale = stale or changed != 0
        i = row - kernel_y
        if i < 0:
            continue
        window_sums(row_sums[0], kernel_x, window)
        if stale:
            window_sums(row_counts[0], kernel_x, window_count)
            stale = False
        _flag_row(image[i], mask[i], window, window_count, screen, flags)
        for j in range(width):
            out[i, j] = False
        for w in range(flag_words.shape[0]):
            if flag_words[w] == 0:
                continue
            for j in range(8 * w, min(8 * w + 8, width)):
                if flags[j] == 0 or window_count[j] < min_local or image[i, j] <= global_threshold:
                    continue
                sum_x = zero
                sum_y = zero
                for s in range(n_rows):
                    for c in range(j, j + 2 * kernel_x + 1):
                        value = rows[s, c]
                        sum_x += value
                        sum_y += value * value
                if sum_x < 0:
                    continue
                x = np.float64(sum_x)
                m = np.float64(window_count[j])
                g = gain[i * gain_step, j * gain_step]
                if m * np.float64(sum_y) - x * x > g * x * (m - 1.0 + sigma_background * np.sqrt(2.0 * (m - 1.0))):
                    out[i, j] = m * np.float64(image[i, j]) - x > sigma_strong * np.sqrt(g * x * m)
