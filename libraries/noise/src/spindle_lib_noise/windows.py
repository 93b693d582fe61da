"""Sums over the window around a pixel."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["window_statistics"]

# Squares below 2^48 leave room for 2^15 of them in 64 bits. A window of more pixels is far too large for what follows.
_CEILING = 16777216


@njit(nogil=True, cache=True)
def _window_statistics(image, good, kernel, step, zero, sums_x, sums_y, sums_m, count, mean, dispersion):
    height, width = image.shape
    kernel_y, kernel_x = kernel
    step_y, step_x = step
    sums_x[:] = 0
    sums_y[:] = 0
    sums_m[:] = 0
    for row in range(height + kernel_y):
        for change in (1, -1):
            i = row if change == 1 else row - 2 * kernel_y - 1
            if i < 0 or i >= height:
                continue
            for j in range(width):
                if good[i, j] != 0 and image[i, j] < _CEILING:
                    value = zero + image[i, j]
                    sums_x[j] += change * value
                    sums_y[j] += change * value * value
                    sums_m[j] += change
        centre = row - kernel_y
        if centre < 0 or centre % step_y != 0:
            continue
        x, y, m = zero, zero, 0
        for j in range(min(kernel_x, width)):
            x, y, m = x + sums_x[j], y + sums_y[j], m + sums_m[j]
        for j in range(width):
            if j + kernel_x < width:
                x, y, m = x + sums_x[j + kernel_x], y + sums_y[j + kernel_x], m + sums_m[j + kernel_x]
            if j - kernel_x - 1 >= 0:
                k = j - kernel_x - 1
                x, y, m = x - sums_x[k], y - sums_y[k], m - sums_m[k]
            if j % step_x == 0:
                q, p = centre // step_y, j // step_x
                count[q, p] = m
                mean[q, p] = x / m if m > 0 else 0.0
                if m > 1 and x > 0:
                    variance = (np.float64(y) - np.float64(x) * np.float64(x) / m) / (m - 1)
                    dispersion[q, p] = max(variance, 0.0) * m / x
                else:
                    dispersion[q, p] = 0.0


def window_statistics(
    image: np.ndarray, good: np.ndarray, kernel: tuple[int, int], step: tuple[int, int] = (1, 1)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean and index of dispersion of the good pixels in the windows around pixels.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    good : (slow, fast) bool
    kernel : (int, int)
        Half sizes of the window, slow and fast; cut at the edges of the image.
    step : (int, int)
        Windows are centred on every so manieth row and column, the first on pixel (0, 0).

    Returns
    -------
    count : (ceil(slow / step), ceil(fast / step)) int32
    mean : of that shape, float64
        0 in windows without good pixels.
    dispersion : of that shape, float64
        Unbiased variance over mean; 0 where the mean is not positive or there is one pixel only.
    """
    height, width = image.shape
    shape = (-(-height // step[0]), -(-width // step[1]))
    count, mean, dispersion = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
    kind = np.int64 if image.dtype == np.int32 else np.float64
    _window_statistics(
        image, good.view(np.uint8), (int(kernel[0]), int(kernel[1])), (int(step[0]), int(step[1])), kind(0),
        np.zeros(width, kind), np.zeros(width, kind), np.zeros(width, np.int64), count, mean, dispersion,
    )  # fmt: skip
    return count, mean, dispersion
