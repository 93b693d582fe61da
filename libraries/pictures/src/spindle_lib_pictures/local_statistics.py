"""Sums over a window around each pixel, and what spot finding makes of them: mean, variance, index of dispersion.

The cost per pixel does not depend on the size of the window, and nothing is ever subtracted: a window is the sum of the
end of one block of pixels and the start of the next (van Herk 1992, for maxima), first along rows, then along columns.
So sums of integers are exact below 2^53 and sums of floats have no errors of their neighbours' size.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spindle.errors import ShapeError

__all__ = ["LOCAL_MAPS", "least_count", "local_map"]

# Pixels at or above this value take no part in window sums, as in the thresholds of spot finding.
_CEILING = 16777216

MEAN, VARIANCE, DISPERSION, SIGMA_B, SIGMA_S, THRESHOLD = range(6)
LOCAL_MAPS = {
    "mean": MEAN,
    "variance": VARIANCE,
    "dispersion": DISPERSION,
    "sigma_b": SIGMA_B,
    "sigma_s": SIGMA_S,
    "threshold": THRESHOLD,
}


@njit(nogil=True, cache=True)
def _sum_along_row(padded, n, ending, out):
    """Sums of n neighbours from each entry of a padded row on; `padded` becomes sums from the start of each block."""
    size = padded.shape[0]
    width = out.shape[0]
    for first in range(0, size, n):
        last = min(first + n, size)
        total = 0.0
        for j in range(last - 1, first - 1, -1):
            total += padded[j]
            ending[j] = total
        total = 0.0
        for j in range(first, last):
            total += padded[j]
            padded[j] = total
    for j in range(width):
        out[j] = ending[j] + padded[j + n - 1]
    for j in range(0, width, n):
        out[j] = ending[j]


@njit(nogil=True, cache=True)
def _map_row(pixels, mask, count, total, squares, gain, min_local, sigma_b, sigma_s, least, what, out):
    """One row of a map from the sums of its windows."""
    gain_step = 0 if gain.shape[0] == 1 else 1
    for j in range(out.shape[0]):
        m = count[j]
        x = total[j]
        y = squares[j]
        value = 0.0
        if mask[j] != 0 and m >= min_local and m > 1.0:
            if what == MEAN:
                value = x / m
            elif what == VARIANCE:
                value = (m * y - x * x) / (m * (m - 1.0))
            elif what == DISPERSION:
                value = (m * y - x * x) / (x * (m - 1.0)) if x > 0.0 else 0.0
            elif x >= 0.0:
                # The very terms of the threshold `dispersion`, so that both decide alike.
                g = gain[j * gain_step]
                own = np.float64(pixels[j])
                varies = what == SIGMA_S or m * y - x * x > g * x * (m - 1.0 + sigma_b * np.sqrt(2.0 * (m - 1.0)))
                strong = what == SIGMA_B or m * own - x > sigma_s * np.sqrt(g * x * m)
                value = np.float64(varies and strong and (what != THRESHOLD or own > least))
        out[j] = value


@njit(nogil=True, cache=True)
def map_windows(image, mask, gain, kernel, min_local, sigma_b, sigma_s, least, what, out):
    """Fill a map of the windows around the pixels of an image.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
    mask : (slow, fast) uint8
        1 = good.
    gain : (1, 1) or (slow, fast) float64
        Counts per photon.
    kernel : (int, int)
        Half sizes of the window, slow and fast.
    min_local : float
        Fewest good pixels of a window.
    sigma_b, sigma_s, least : float
        Limits of the tests.
    what : int
        Value of `LOCAL_MAPS`.
    out : (slow, fast) float32
        Every pixel is written.
    """
    height, width = image.shape
    half_y, half_x = kernel
    n = 2 * half_y + 1
    n_x = 2 * half_x + 1
    gain_step = 0 if gain.shape[0] == 1 else 1
    ending_x = np.empty(width + 2 * half_x)
    padded = np.zeros((3, width + 2 * half_x))
    # Rows of the current block; turned into sums from each row to the end of the block when it is complete.
    block = np.zeros((3, n, width))
    ending = np.zeros((3, n, width))
    start = np.zeros((3, width))
    window = np.zeros((3, width))
    for r in range(height + 2 * half_y):
        place = r % n
        if place == 0:
            for q in range(3):
                ending[q, n - 1] = block[q, n - 1]
                for s in range(n - 2, -1, -1):
                    now = ending[q, s]
                    own = block[q, s]
                    later = ending[q, s + 1]
                    for j in range(width):
                        now[j] = own[j] + later[j]
            start[:] = 0.0
        row = r - half_y
        if 0 <= row < height:
            padded[:, :half_x] = 0.0
            padded[:, half_x + width :] = 0.0
            for j in range(width):
                good = (mask[row, j] != 0) & (image[row, j] < _CEILING)
                value = np.float64(image[row, j]) if good else 0.0
                padded[0, half_x + j] = np.float64(good)
                padded[1, half_x + j] = value
                padded[2, half_x + j] = value * value
            for q in range(3):
                summed = block[q, place]
                _sum_along_row(padded[q], n_x, ending_x, summed)
                so_far = start[q]
                for j in range(width):
                    so_far[j] += summed[j]
        else:
            block[:, place] = 0.0
        # The window of image row i covers the padded rows i to i + n - 1.
        i = r - n + 1
        if i < 0:
            continue
        first = i % n
        for q in range(3):
            now = window[q]
            before = ending[q, first]
            after = start[q]
            if first == 0:
                now[:] = after
            else:
                for j in range(width):
                    now[j] = before[j] + after[j]
        _map_row(
            image[i], mask[i], window[0], window[1], window[2], gain[i * gain_step], min_local, sigma_b, sigma_s, least,
            what, out[i],
        )  # fmt: skip


def least_count(min_local: int, kernel: tuple[int, int]) -> int:
    """Fewest pixels of a window: `min_local`, or all of the window for 0 and less.

    Raises
    ------
    ValueError
        If it is 1, of which there is no variance, or more than the window has; the message says what to choose.
    """
    full = (2 * kernel[0] + 1) * (2 * kernel[1] + 1)
    if min_local > full or min_local == 1:
        raise ValueError(f"choose 2 to {full} (the window's pixels), or 0 for all")
    return full if min_local <= 0 else min_local


def local_map(
    image: np.ndarray,
    mask: np.ndarray,
    what: str,
    kernel: tuple[int, int] = (3, 3),
    min_local: int = 2,
    gain: float | np.ndarray = 1.0,
    sigma_background: float = 6.0,
    sigma_strong: float = 3.0,
    global_threshold: float = 0.0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """A map of what spot finding sees in the window around each pixel.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    mask : (slow, fast) bool
        True is good.
    what : str
        "mean", "variance" (unbiased) or "dispersion" (variance over mean) of the good pixels in the window; or, 1 or 0,
        the tests of the threshold `dispersion`: "sigma_b" (the window varies more than counting statistics allow),
        "sigma_s" (the pixel stands out from the mean of its window) and "threshold" (both, and the pixel is above the
        global threshold).
    kernel : (int, int)
        Half sizes of the window, slow and fast; windows end at the edges of the image.
    min_local : int
        Fewest good pixels of a window; 0 demands the whole window.
    gain : float or (slow, fast) float64
        Counts per photon.
    sigma_background, sigma_strong : float
        Standard deviations of the tests.
    global_threshold : float, counts
    out : (slow, fast) float32, optional
        Filled and returned; new by default.

    Returns
    -------
    (slow, fast) float32
        0 at masked pixels and where the window has too few good ones.

    Raises
    ------
    ShapeError
        If image and mask differ in shape.
    ValueError
        If `min_local` does not suit the window.

    References
    ----------
    Winter, G. et al. (2018). Acta Cryst. D74, 85-97.
    """
    if image.shape != mask.shape:
        raise ShapeError(f"the image is {image.shape}, its mask {mask.shape} (slow, fast)")
    half = (int(kernel[0]), int(kernel[1]))
    dtype = np.int32 if image.dtype == np.int32 else np.float32
    out = np.empty(image.shape, np.float32) if out is None else out
    map_windows(
        np.ascontiguousarray(image, dtype=dtype), np.ascontiguousarray(mask).view(np.uint8),
        np.ascontiguousarray(np.atleast_2d(np.asarray(gain, dtype=np.float64))), half,
        float(least_count(min_local, half)), float(sigma_background), float(sigma_strong), float(global_threshold),
        LOCAL_MAPS[what], out,
    )  # fmt: skip
    return out
