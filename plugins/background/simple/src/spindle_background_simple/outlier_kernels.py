"""Outlier rejection among the background pixels of ragged shoeboxes.

Every kernel clears ``used`` (uint8) of the pixels that it rejects. Arrays: data (p,) float32 counts, used (p,) uint8,
bbox (n, 6) int32 as x0 x1 y0 y1 z0 z1, offsets (n + 1,) int64. One kernel per method: only the chosen one is compiled.

Where there are few photons most pixels hold none, and every limit in units of their scatter lies below one count. A
single photon is never an outlier, else the background would be zero.
"""

from __future__ import annotations

import math

import numba
import numpy as np

ONE_PHOTON = 1.0

__all__ = ["reject_normal", "reject_nsigma", "reject_plane", "reject_truncated", "reject_tukey"]


@numba.njit(nogil=True, cache=True)
def reject_nsigma(data, used, offsets, lower, upper):
    """Keep mean - lower sd <= value <= mean + upper sd, mean and sample sd taken once from all pixels."""
    for i in range(offsets.shape[0] - 1):
        n = 0
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                n += 1
                total += data[k]
        if n < 2:
            continue
        mean = total / n
        squares = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                squares += (data[k] - mean) ** 2
        sd = math.sqrt(squares / (n - 1))
        low = mean - lower * sd
        high = max(mean + upper * sd, ONE_PHOTON)
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0 and (data[k] < low or data[k] > high):
                used[k] = 0


@numba.njit(nogil=True, cache=True)
def reject_truncated(data, used, offsets, lower, upper):
    """Drop the int(lower n / 2) smallest and int(upper n / 2) largest values; of equal values the first pixels go."""
    values = np.empty(_largest(offsets), np.float64)
    for i in range(offsets.shape[0] - 1):
        n = 0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                values[n] = data[k]
                n += 1
        n_low = int(lower * n / 2)
        n_high = int(upper * n / 2)
        if n == 0 or n_low + n_high == 0:
            continue
        ordered = np.sort(values[:n])
        low = ordered[min(n_low, n - 1)]
        high = ordered[max(n - 1 - n_high, 0)]
        # values equal to the limits are ties: drop only as many of them as the counts ask for
        ties_low = n_low
        ties_high = n_high
        for j in range(n):
            if ordered[j] < low:
                ties_low -= 1
            if ordered[j] > high:
                ties_high -= 1
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] == 0:
                continue
            if data[k] < low or data[k] > high:
                used[k] = 0
            elif data[k] == low and ties_low > 0:
                used[k] = 0
                ties_low -= 1
            elif data[k] == high and ties_high > 0:
                used[k] = 0
                ties_high -= 1


@numba.njit(nogil=True, cache=True)
def reject_normal(data, used, offsets, limits, min_pixels):
    """Drop the brightest pixel while it lies further out than one of n normal deviates is expected to.

    Parameters
    ----------
    limits : (m,) float64
        sqrt(2) erfinv(1 - 1 / n) for n = 0 .. m - 1, m larger than any number of pixels of a shoebox.
    min_pixels : int
        Stop at that number of pixels.
    """
    values = np.empty(_largest(offsets), np.float64)
    for i in range(offsets.shape[0] - 1):
        n = 0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                values[n] = data[k]
                n += 1
        if n <= min_pixels or n < 2:
            continue
        ordered = np.sort(values[:n])
        shift = ordered[0]
        total = 0.0
        squares = 0.0
        for j in range(n):
            total += ordered[j] - shift
            squares += (ordered[j] - shift) ** 2
        m = n
        while m > min_pixels and m > 1 and ordered[m - 1] > ONE_PHOTON:
            brightest = ordered[m - 1] - shift
            mean = total / m
            variance = (squares - m * mean * mean) / (m - 1)
            if variance <= 0.0 or (brightest - mean) / math.sqrt(variance) < limits[m]:
                break
            total -= brightest
            squares -= brightest * brightest
            m -= 1
        if m == n:
            continue
        high = ordered[m]
        ties = 0  # how many pixels equal to the limit have to go
        for j in range(m, n):
            if ordered[j] == high:
                ties += 1
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] == 0:
                continue
            if data[k] > high:
                used[k] = 0
            elif data[k] == high and ties > 0:
                used[k] = 0
                ties -= 1


@numba.njit(nogil=True, cache=True)
def reject_tukey(data, used, offsets, lower, upper):
    """Keep q1 - lower IQR <= value <= q3 + upper IQR, quartiles by index of the sorted list."""
    values = np.empty(_largest(offsets), np.float64)
    for i in range(offsets.shape[0] - 1):
        n = 0
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0:
                values[n] = data[k]
                n += 1
        if n < 2:
            continue
        ordered = np.sort(values[:n])
        half = n // 2
        q1 = ordered[half // 2]
        q3 = ordered[half + (n - half) // 2]
        low = q1 - lower * (q3 - q1)
        high = max(q3 + upper * (q3 - q1), ONE_PHOTON)
        for k in range(offsets[i], offsets[i + 1]):
            if used[k] != 0 and (data[k] < low or data[k] > high):
                used[k] = 0


@numba.njit(nogil=True, cache=True)
def reject_plane(data, used, bbox, offsets, fraction, n_sigma):
    """Per slice: plane through the lowest ``fraction`` of the pixels, then drop |value - plane| > n_sigma sqrt(level).

    Where values lie below zero they are no counts, and the mean square about the plane takes the place of the level.

    The level is raised by k sqrt(level) for the bias of taking the lowest pixels, k by fraction as in Mosflm (Leslie
    1999, Acta Cryst. D55, 1696).
    """
    if fraction >= 0.999:
        raise_by = 0.0
    elif fraction >= 0.9:
        raise_by = 0.05
    elif fraction >= 0.7:
        raise_by = 0.2
    elif fraction >= 0.5:
        raise_by = 0.4
    elif fraction >= 0.3:
        raise_by = 0.6
    else:
        raise_by = 0.8
    values = np.empty(_largest(offsets), np.float64)
    for i in range(offsets.shape[0] - 1):
        nx = bbox[i, 1] - bbox[i, 0]
        ny = bbox[i, 3] - bbox[i, 2]
        nz = bbox[i, 5] - bbox[i, 4]
        for z in range(nz):
            first = offsets[i] + z * ny * nx
            n = 0
            for k in range(first, first + ny * nx):
                if used[k] != 0:
                    values[n] = data[k]
                    n += 1
            keep = int(fraction * n)
            if keep < 3:
                continue
            limit = np.inf
            ties = n
            if keep < n:
                ordered = np.sort(values[:n])
                limit = ordered[keep - 1]
                ties = 0
                for j in range(keep):
                    if ordered[j] == limit:
                        ties += 1
            # normal equations of a + b x + c y, coordinates from the middle of the box
            s1 = sx = sy = sxx = sxy = syy = sv = sxv = syv = svv = 0.0
            lowest = 0.0
            for k in range(first, first + ny * nx):
                if used[k] == 0 or data[k] > limit:
                    continue
                if data[k] == limit:
                    if ties == 0:
                        continue
                    ties -= 1
                x = float((k - first) % nx - nx // 2)
                y = float((k - first) // nx - ny // 2)
                v = np.float64(data[k])
                s1 += 1.0
                sx += x
                sy += y
                sxx += x * x
                sxy += x * y
                syy += y * y
                sv += v
                sxv += x * v
                syv += y * v
                svv += v * v
                lowest = min(lowest, v)
            cxx = sxx - sx * sx / s1
            cxy = sxy - sx * sy / s1
            cyy = syy - sy * sy / s1
            cxv = sxv - sx * sv / s1
            cyv = syv - sy * sv / s1
            det = cxx * cyy - cxy * cxy
            if det <= 1e-9 * (cxx * cyy + 1e-300):
                continue
            b = (cxv * cyy - cyv * cxy) / det
            c = (cyv * cxx - cxv * cxy) / det
            a = (sv - b * sx - c * sy) / s1
            level = abs(a)
            if lowest < 0.0:
                level = max(svv - sv * sv / s1 - b * cxv - c * cyv, 0.0) / s1
            a += raise_by * math.sqrt(level)
            tolerance = max(n_sigma * math.sqrt(level), ONE_PHOTON)
            for k in range(first, first + ny * nx):
                if used[k] != 0:
                    x = float((k - first) % nx - nx // 2)
                    y = float((k - first) // nx - ny // 2)
                    if abs(data[k] - (a + b * x + c * y)) > tolerance:
                        used[k] = 0


@numba.njit(nogil=True, cache=True)
def _largest(offsets):
    """Pixels of the largest shoebox, at least 1."""
    largest = 1
    for i in range(offsets.shape[0] - 1):
        largest = max(largest, offsets[i + 1] - offsets[i])
    return largest
