"""Kernels of the viewer: from pixels to one byte for each point of the screen, and sums of images."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = [
    "FULL",
    "LOWEST",
    "MASKED",
    "N_LINEAR",
    "OUTSIDE",
    "OVERLOAD",
    "add_image",
    "largest_codes",
    "mean_codes",
    "sampled_codes",
]

OUTSIDE, MASKED, LOWEST, FULL, OVERLOAD = 0, 1, 2, 254, 255
# So many of the codes stand for equal steps of the value, those above for equal ratios.
N_LINEAR = 160


@njit(nogil=True, cache=True)
def largest_codes(values, status, row, column, binning, empty, masked, low, high, start, step, ratio, line, out):
    """Fill one byte per group of pixels of a part of a picture: that of its largest value.

    Parameters
    ----------
    values : (rows, columns) int32 or float32
    status : (rows, columns) uint8
        0 where no panel is, 1 masked, 2 good.
    row, column : int
        First pixel of the part; it may begin and end outside of the picture.
    binning : int
        Width of the groups of pixels that become one byte.
    empty, masked : as `values`
        The lowest value that there is and the next: what pixels beside panels and masked ones count as.
    low : as `values`
        What is below is masked.
    high : float
        What is above is an overload.
    start, step, ratio : float
        Code LOWEST + k stands for values from start + k step (k < N_LINEAR), above for N_LINEAR step exp((k - N_LINEAR) / ratio).
    line : (width x binning,) as `values`
        Workspace.
    out : (height, width) uint8
    """
    rows, columns = values.shape
    scale = 1.0 / step
    width = line.shape[0]
    begin = min(max(-column, 0), width)
    end = max(min(columns - column, width), begin)
    part = line[begin:end]
    for i in range(out.shape[0]):
        line[:] = empty
        for y in range(max(row + i * binning, 0), min(row + (i + 1) * binning, rows)):
            # Slices begin at 0, so that the compiler need not think of places that are counted from the end.
            pixels, states = values[y, begin + column : end + column], status[y, begin + column : end + column]
            for x in range(pixels.shape[0]):
                seen = pixels[x] if pixels[x] >= low else masked
                seen = seen if states[x] == 2 else (masked if states[x] == 1 else empty)
                part[x] = max(part[x], seen)
        for j in range(out.shape[1]):
            best = line[j * binning]
            for x in range(j * binning + 1, (j + 1) * binning):
                best = max(best, line[x])
            if best == empty:
                out[i, j] = OUTSIDE
            elif best == masked:
                out[i, j] = MASKED
            elif best > high:
                out[i, j] = OVERLOAD
            else:
                at = (np.float64(best) - start) * scale
                if at >= N_LINEAR:
                    at = N_LINEAR + math.log(at / N_LINEAR) * ratio
                out[i, j] = min(FULL, LOWEST + int(max(at, 0.0)))


@njit(nogil=True, cache=True)
def mean_codes(values, status, row, column, binning, low, high, start, step, ratio, out):
    """As `largest_codes`, of the mean of the good pixels of each group; an overload in it is one of the group."""
    rows, columns = values.shape
    scale = 1.0 / step
    for i in range(out.shape[0]):
        top = row + i * binning
        for j in range(out.shape[1]):
            left = column + j * binning
            state = OUTSIDE
            total = 0.0
            count = 0
            for y in range(max(top, 0), min(top + binning, rows)):
                for x in range(max(left, 0), min(left + binning, columns)):
                    here = status[y, x]
                    if here == 0:
                        continue
                    value = np.float64(values[y, x])
                    if here == 1 or not value >= low:
                        state = max(state, MASKED)
                    elif value > high:
                        state = OVERLOAD
                    else:
                        state = max(state, LOWEST)
                        total += value
                        count += 1
            if state == LOWEST:
                at = (total / count - start) * scale
                if at >= N_LINEAR:
                    at = N_LINEAR + math.log(at / N_LINEAR) * ratio
                out[i, j] = min(FULL, LOWEST + int(max(at, 0.0)))
            else:
                out[i, j] = state


@njit(nogil=True, cache=True)
def add_image(values, low, high, is_max, total):
    """Add an image to a sum, or take the larger pixel by pixel.

    Parameters
    ----------
    values : (rows, columns) int32 or float32
    low, high : float
        What is outside makes the pixel of the sum not a number (below) or infinite (above).
    is_max : bool
    total : (rows, columns) float32
    """
    rows, columns = values.shape
    for i in range(rows):
        for j in range(columns):
            value = values[i, j]
            if not value >= low:
                total[i, j] = np.nan
            elif value > high:
                total[i, j] = np.inf if total[i, j] == total[i, j] else np.nan
            elif is_max:
                if not total[i, j] >= value:
                    total[i, j] = value if total[i, j] == total[i, j] else np.nan
            else:
                total[i, j] += value


@njit(nogil=True, cache=True)
def sampled_codes(values, good, origin, inverse, column, row, step, low, high, start, size, ratio, out):
    """Fill one byte per point of a part of a laboratory picture that is finer than its pixels, where a panel is seen.

    Parameters
    ----------
    values : (slow, fast) int32 or float32
        Of one panel.
    good : (slow, fast) uint8
    origin : (2,) float64
        Column and row of the corner of the panel.
    inverse : (2, 2) float64
        From columns and rows to fast and slow.
    column, row : float
        Corner of the part, pixels of the picture.
    step : float
        Pixels of the picture from point to point.
    low, high, start, size, ratio : float
        As for `largest_codes`, with `size` its step.
    out : (height, width) uint8
        Changed where the panel is seen.
    """
    slow, fast = values.shape
    for i in range(out.shape[0]):
        v = row + (i + 0.5) * step - origin[1]
        for j in range(out.shape[1]):
            u = column + (j + 0.5) * step - origin[0]
            x = inverse[0, 0] * u + inverse[0, 1] * v
            y = inverse[1, 0] * u + inverse[1, 1] * v
            if not (0.0 <= x < fast and 0.0 <= y < slow):
                continue
            value = np.float64(values[int(y), int(x)])
            if good[int(y), int(x)] == 0 or not value >= low:
                out[i, j] = MASKED
            elif value > high:
                out[i, j] = OVERLOAD
            else:
                at = (value - start) / size
                if at >= N_LINEAR:
                    at = N_LINEAR + math.log(at / N_LINEAR) * ratio
                out[i, j] = min(FULL, LOWEST + int(max(at, 0.0)))
