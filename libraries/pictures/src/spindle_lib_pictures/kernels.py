"""Kernels of pictures: the code that stands for the colour of a pixel, and where the pixels of a panel are seen."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["HIGHEST", "LOWEST", "MASKED", "OUTSIDE", "OVERLOAD", "pixel_codes", "place_panel"]

OUTSIDE, MASKED, LOWEST, HIGHEST, OVERLOAD = 0, 1, 2, 257, 258


@njit(nogil=True, cache=True)
def pixel_codes(values, mask, scale, overload, out):
    """Fill codes: LOWEST to HIGHEST for brightness, or MASKED, or OVERLOAD.

    Parameters
    ----------
    values : (slow, fast) int32 or float32
    mask : (slow, fast) uint8
        0 = to be shown as masked.
    scale : float
        Levels per unit of the values.
    overload : float
        What is above is shown as overload.
    out : (slow, fast) uint16
    """
    height, width = values.shape
    for i in range(height):
        for j in range(width):
            value = values[i, j]
            if mask[i, j] == 0:
                out[i, j] = MASKED
            elif value > overload:
                out[i, j] = OVERLOAD
            else:
                # Not below 0: also what is not a number.
                darkness = 256.0 - scale * value
                if darkness >= 255.0 or not value > 0:
                    out[i, j] = LOWEST
                elif darkness > 0.0:
                    out[i, j] = HIGHEST - np.int64(darkness)
                else:
                    out[i, j] = HIGHEST


@njit(nogil=True, cache=True)
def place_panel(source, first, width, height, origin, matrix, inverse):
    """Note for each pixel of the picture whose centre lies on a panel which pixel of the panel it shows.

    Parameters
    ----------
    source : (rows, columns) int32
        Changed where the panel is seen.
    first : int
        Number of the panel's first pixel.
    width, height : int
        Pixels of the panel, fast and slow.
    origin : (2,) float64
        Column and row of the panel's corner.
    matrix, inverse : (2, 2) float64
        Steps of the panel's pixels in columns and rows (columns fast, slow), and the inverse.
    """
    low = np.array([np.inf, np.inf])
    high = np.array([-np.inf, -np.inf])
    for corner in range(4):
        for k in range(2):
            at = origin[k] + matrix[k, 0] * width * (corner & 1) + matrix[k, 1] * height * (corner >> 1)
            low[k] = min(low[k], at)
            high[k] = max(high[k], at)
    rows, columns = source.shape
    for i in range(max(0, int(low[1]) - 1), min(rows, int(high[1]) + 2)):
        v = i + 0.5 - origin[1]
        for j in range(max(0, int(low[0]) - 1), min(columns, int(high[0]) + 2)):
            u = j + 0.5 - origin[0]
            x = inverse[0, 0] * u + inverse[0, 1] * v
            y = inverse[1, 0] * u + inverse[1, 1] * v
            if 0.0 <= x < width and 0.0 <= y < height:
                source[i, j] = first + int(y) * width + int(x)
