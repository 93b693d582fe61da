"""The dispersion test with one thread per pixel."""

from __future__ import annotations

import math

from numba import cuda

from spindle_lib_dispersion.windows import CEILING

__all__ = ["mark_strong"]


@cuda.jit
def mark_strong(
    image, mask, gain, kernel_y, kernel_x, sigma_background, sigma_strong, min_local, global_threshold, zero, out
):
    """Mark the strong pixels of one image.

    The same sums in the same order as the threshold ``dispersion``, which explains the rule; all sums of whole counts
    are exact. A thread sums the window of its own pixel: neighbouring threads find the same pixels in the cache.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    mask : (slow, fast) uint8
        1 = good, 0 = bad.
    gain : (1, 1) or (slow, fast) float64
        Counts per photon.
    kernel_y, kernel_x : int
        Half sizes of the window.
    sigma_background, sigma_strong : float
    min_local : int
        Fewest good pixels of a window.
    global_threshold : float, counts
    zero : int64 for integer images, else float64
        Gives the type of the sums.
    out : (slow, fast) uint8
        Result; every pixel is written.
    """
    j, i = cuda.grid(2)
    height, width = image.shape
    if i >= height or j >= width:
        return
    out[i, j] = 0
    if mask[i, j] == 0 or image[i, j] <= global_threshold:
        return
    n_rows = 2 * kernel_y + 1
    top = i - kernel_y
    # Not min and max: numba's own CUDA target has no device code for them.
    left = j - kernel_x if j >= kernel_x else 0
    right = j + kernel_x + 1 if j + kernel_x < width else width
    sum_x = zero
    sum_y = zero
    count = 0
    for slot in range(n_rows):
        # Rows in the order of a ring of rows that an image is led through, so that fractions round alike.
        row = top + (slot - top) % n_rows
        if row < 0 or row >= height:
            continue
        for column in range(left, right):
            if mask[row, column] != 0 and image[row, column] < CEILING:
                value = zero + image[row, column]
                sum_x += value
                sum_y += value * value
                count += 1
    if count < min_local or sum_x < 0:
        return
    m = float(count)
    x = float(sum_x)
    excess = m * image[i, j] - x
    if excess <= 0.0:
        return
    g = gain[i if gain.shape[0] > 1 else 0, j if gain.shape[1] > 1 else 0]
    spread = m * sum_y - x * x > g * x * (m - 1.0 + sigma_background * math.sqrt(2.0 * (m - 1.0)))
    if spread and excess > sigma_strong * math.sqrt(g * x * m):
        out[i, j] = 1
