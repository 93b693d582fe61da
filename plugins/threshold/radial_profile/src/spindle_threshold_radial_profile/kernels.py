"""Kernels of the radial profile threshold; each is one pass over the pixels."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["count_levels", "gather", "mark_above", "smooth", "smooth_all"]


@njit(nogil=True, cache=True)
def count_levels(image, good, bins, counts):
    """Histogram of the good pixels of each bin.

    Parameters
    ----------
    image : (slow, fast) int32, counts
    good : (slow, fast) uint8
        1 = good, 0 = bad.
    bins : (slow, fast) uint16
    counts : (n_bins, n_levels + 1) int32
        Result: pixels of the values 0, 1, ...; the last column has all higher ones.

    Returns
    -------
    bool
        False when a good pixel is below 0, which the histogram cannot hold.
    """
    counts[:] = 0
    top = np.int32(counts.shape[1] - 1)
    lowest = np.int32(0)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if good[i, j] != 0:
                value = image[i, j]
                lowest = min(lowest, value)
                counts[bins[i, j], min(max(value, 0), top)] += 1
    return lowest >= 0


@njit(nogil=True, cache=True)
def gather(values, good, order, starts, out, ends):
    """Values of the good pixels, bin by bin.

    Parameters
    ----------
    values : (n_pixels,) float64
    good : (n_pixels,) uint8
    order : (n_pixels,) int32
        Pixels sorted by bin.
    starts : (n_bins + 1,) int64
        Where each bin begins in `order`.
    out : (n_pixels,) float64
        Result: the good values of bin b are ``out[starts[b] : ends[b]]``.
    ends : (n_bins,) int64
        Result.
    """
    for b in range(ends.shape[0]):
        k = starts[b]
        for i in range(starts[b], starts[b + 1]):
            at = order[i]
            if good[at] != 0:
                out[k] = values[at]
                k += 1
        ends[b] = k


@njit(nogil=True, cache=True)
def mark_above(image, good, bins, limits, out):
    """Mark the good pixels above the limit of their bin.

    Parameters
    ----------
    image : (slow, fast) int32, float32 or float64
    good : (slow, fast) uint8
    bins : (slow, fast) uint16
    limits : (n_bins,) float64
    out : (slow, fast) bool
        Result; every pixel is written.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            out[i, j] = good[i, j] != 0 and image[i, j] > limits[bins[i, j]]


@njit(nogil=True, cache=True)
def _add_columns(first, second, weights, out):
    """Add the horizontal part of a symmetric 5 x 5 kernel for the sum of two padded rows at the same distance."""
    n = out.shape[0]
    w0, w1, w2 = weights[0], weights[1], weights[2]
    for j in range(n):
        middle = first[j + 2] + second[j + 2]
        near = first[j + 1] + second[j + 1] + (first[j + 3] + second[j + 3])
        far = first[j] + second[j] + (first[j + 4] + second[j + 4])
        out[j] += w0 * middle + w1 * near + w2 * far


@njit(nogil=True, cache=True)
def smooth(image, good, weights, rows, rows_good, nothing, nothing_good, total, total_good, out):
    """Weighted mean of the good pixels around each pixel.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    good : (slow, fast) uint8
        Pixels with 0 have no weight.
    weights : (3, 3) of the type of `rows`
        Weights at the distances (0, 1, 2) along slow and fast.
    rows, rows_good : (5, fast + 4) int64 for integer images, else float64; rows_good of the type of rows
        Workspace.
    nothing, nothing_good : (fast + 4,), as rows
        Zeros.
    total, total_good : (fast,), as rows
        Workspace.
    out : (slow, fast) float64
        Result; 0 where there is no good pixel around.
    """
    height, width = image.shape
    one = rows.dtype.type(1)
    zero = rows.dtype.type(0)
    for top in range(-2, height + 2):
        # Row `top` enters the ring of five rows; row i = top - 2 is then complete.
        slot = (top + 5) % 5
        values, known = rows[slot], rows_good[slot]
        if 0 <= top < height:
            for j in range(width):
                is_good = good[top, j] != 0
                values[j + 2] = image[top, j] if is_good else zero
                known[j + 2] = one if is_good else zero
        else:
            values[:] = zero
            known[:] = zero
        i = top - 2
        if i < 0:
            continue
        total[:] = zero
        total_good[:] = zero
        _add_columns(rows[i % 5], nothing, weights[0], total)
        _add_columns(rows[(i + 4) % 5], rows[(i + 1) % 5], weights[1], total)
        _add_columns(rows[(i + 3) % 5], rows[(i + 2) % 5], weights[2], total)
        _add_columns(rows_good[i % 5], nothing_good, weights[0], total_good)
        _add_columns(rows_good[(i + 4) % 5], rows_good[(i + 1) % 5], weights[1], total_good)
        _add_columns(rows_good[(i + 3) % 5], rows_good[(i + 2) % 5], weights[2], total_good)
        for j in range(width):
            out[i, j] = np.float64(total[j]) / np.float64(total_good[j]) if total_good[j] > 0 else 0.0


@njit(nogil=True, cache=True)
def smooth_all(image, weights, out):
    """Weighted sum of the pixels around each pixel, bad ones included; beyond an edge the pixels at the edge repeat.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    weights : (5, 5) float64
    out : (slow, fast) float64
        Result. Terms are added row by row, as DIALS does, so that rounding is the same.
    """
    height, width = image.shape
    for i in range(height):
        for j in range(width):
            total = 0.0
            for a in range(5):
                y = min(max(i + a - 2, 0), height - 1)
                for b in range(5):
                    x = min(max(j + b - 2, 0), width - 1)
                    total += weights[a, b] * image[y, x]
            out[i, j] = total
