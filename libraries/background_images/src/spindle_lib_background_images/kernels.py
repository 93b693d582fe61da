"""Kernels: sums over images, areas of pixels on a polar grid, filters along rings, diffusion."""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_noise.count_kernels import interpolated_moments

__all__ = ["add_to_sums", "diffuse_holes", "filter_rings", "resample_back", "resample_forward", "robust_scale"]


@numba.njit(nogil=True, cache=True)
def add_to_sums(values, good, number, total, squares, least, largest):
    """Add the good pixels of an image (slow, fast) to numbers, sums, sums of squares, least and largest values."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            if good[y, x]:
                v = np.float64(values[y, x])
                number[y, x] += 1
                total[y, x] += v
                squares[y, x] += v * v
                least[y, x] = min(least[y, x], values[y, x])
                largest[y, x] = max(largest[y, x], values[y, x])


@numba.njit(nogil=True, cache=True)
def _clip(px, py, n, out_x, out_y, a, b, c):
    """The part of a convex polygon with a x + b y <= c (Sutherland & Hodgman 1974); returns its number of corners."""
    m = 0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        di, dj = a * px[i] + b * py[i] - c, a * px[j] + b * py[j] - c
        if di <= 0.0:
            out_x[m], out_y[m] = px[i], py[i]
            m += 1
        if (di < 0.0 < dj) or (dj < 0.0 < di):
            t = di / (di - dj)
            out_x[m], out_y[m] = px[i] + t * (px[j] - px[i]), py[i] + t * (py[j] - py[i])
            m += 1
    return m


@numba.njit(nogil=True, cache=True)
def _area(px, py, n):
    """Area of a polygon."""
    total = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        total += px[i] * py[j] - px[j] * py[i]
    return abs(0.5 * total)


@numba.njit(nogil=True, cache=True)
def _overlap(qx, qy, i, j, ax, ay, bx, by):
    """Area that a quadrilateral shares with the cell i <= x <= i + 1, j <= y <= j + 1; the rest is scratch."""
    n = _clip(qx, qy, 4, ax, ay, -1.0, 0.0, -float(i))
    n = _clip(ax, ay, n, bx, by, 1.0, 0.0, i + 1.0)
    n = _clip(bx, by, n, ax, ay, 0.0, -1.0, -float(j))
    n = _clip(ax, ay, n, bx, by, 0.0, 1.0, j + 1.0)
    return _area(bx, by, n) if n > 2 else 0.0


@numba.njit(nogil=True, cache=True)
def _corners(r, theta, y, x, qx, qy):
    """The four corners of a pixel in turn, on the grid."""
    qx[0], qy[0] = r[y, x], theta[y, x]
    qx[1], qy[1] = r[y, x + 1], theta[y, x + 1]
    qx[2], qy[2] = r[y + 1, x + 1], theta[y + 1, x + 1]
    qx[3], qy[3] = r[y + 1, x], theta[y + 1, x]


@numba.njit(nogil=True, cache=True)
def resample_forward(image, good, cut, r, theta, total, area, bad):
    """Share the pixels of an image among the cells of a polar grid.

    Parameters
    ----------
    image : (slow, fast) float64; good, cut : (slow, fast) bool
        Pixels on the cut, where theta jumps, are left out without a trace; other bad ones mark the cells that they touch.
    r, theta : (slow + 1, fast + 1) float64
        Corners of the pixels in cells.
    total, area : (n_theta, n_r) float64; bad : (n_theta, n_r) uint8
        Added to: value times shared area, and shared area, of good pixels; set: touched by a bad one.
    """
    qx, qy = np.empty(4), np.empty(4)
    ax, ay, bx, by = np.empty(16), np.empty(16), np.empty(16), np.empty(16)
    n_theta, n_r = total.shape
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if cut[y, x]:
                continue
            _corners(r, theta, y, x, qx, qy)
            for j in range(max(int(qy.min()), 0), min(int(qy.max()) + 1, n_theta)):
                for i in range(max(int(qx.min()), 0), min(int(qx.max()) + 1, n_r)):
                    shared = _overlap(qx, qy, i, j, ax, ay, bx, by)
                    if shared > 1e-9:
                        if good[y, x]:
                            total[j, i] += shared * image[y, x]
                            area[j, i] += shared
                        else:
                            bad[j, i] = 1


@numba.njit(nogil=True, cache=True)
def resample_back(polar, cut, r, theta, out):
    """Mean of the cells under each pixel, weighted by the area they share, into out (slow, fast); nothing on the cut."""
    qx, qy = np.empty(4), np.empty(4)
    ax, ay, bx, by = np.empty(16), np.empty(16), np.empty(16), np.empty(16)
    n_theta, n_r = polar.shape
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if cut[y, x]:
                continue
            _corners(r, theta, y, x, qx, qy)
            value = area = 0.0
            for j in range(max(int(qy.min()), 0), min(int(qy.max()) + 1, n_theta)):
                for i in range(max(int(qx.min()), 0), min(int(qx.max()) + 1, n_r)):
                    shared = _overlap(qx, qy, i, j, ax, ay, bx, by)
                    value += shared * polar[j, i]
                    area += shared
            if area > 0.0:
                out[y, x] = value / area


@numba.njit(nogil=True, cache=True)
def filter_rings(polar, valid, half, periodic, use_median, out, known):
    """Median or mean of the valid cells within ``half`` cells along theta.

    Parameters
    ----------
    polar : (n_theta, n_r) float64; valid : (n_theta, n_r) bool
    half : int
    periodic : bool
        The last row is followed by the first.
    use_median : bool
    out : (n_theta, n_r) float64; known : (n_theta, n_r) bool
        Output; unknown where no cell of the window is valid.
    """
    n_theta, n_r = polar.shape
    half = min(half, (n_theta - 1) // 2)
    window = np.empty(2 * half + 1)
    for i in range(n_r):
        n = 0
        total = 0.0
        for k in range(-half, n_theta + half):
            # the row that leaves the window, then the one that enters it: that of row k - half is complete
            for enters in (False, True):
                row = k if enters else k - 2 * half - 1
                if not enters and row < -half:
                    continue
                if periodic:
                    row %= n_theta
                elif row < 0 or row >= n_theta:
                    continue
                if not valid[row, i]:
                    continue
                value = polar[row, i]
                total += value if enters else -value
                low = np.searchsorted(window[:n], value)
                if enters and n < window.shape[0]:
                    for m in range(n, low, -1):
                        window[m] = window[m - 1]
                    window[low] = value
                    n += 1
                elif not enters:
                    for m in range(low, n - 1):
                        window[m] = window[m + 1]
                    n -= 1
            j = k - half
            if 0 <= j < n_theta and n > 0:
                known[j, i] = True
                if use_median:
                    out[j, i] = 0.5 * (window[(n - 1) // 2] + window[n // 2])
                else:
                    out[j, i] = total / n


@numba.njit(nogil=True, cache=True)
def diffuse_holes(image, rows, columns, n_iterations):
    """Replace pixels of holes by the mean of their neighbours, all at once, so many times."""
    height, width = image.shape
    new = np.empty(rows.shape[0])
    for _ in range(n_iterations):
        for k in range(rows.shape[0]):
            y, x = rows[k], columns[k]
            new[k] = 0.25 * (
                image[max(y - 1, 0), x]
                + image[min(y + 1, height - 1), x]
                + image[y, max(x - 1, 0)]
                + image[y, min(x + 1, width - 1)]
            )
        for k in range(rows.shape[0]):
            image[rows[k], columns[k]] = new[k]


@numba.njit(nogil=True, cache=True)
def robust_scale(data, model, use, c, table, max_iterations):
    """Scale of a model under counts, outliers tamed, and its variance.

    Solves sum (psi((y - q m) / sqrt(q m)) - E psi) m / sqrt(q m) = 0 for the scale q by Fisher scoring, psi Huber's function: unbiased
    however few the counts (Cantoni & Ronchetti 2001, J. Am. Stat. Assoc. 96, 1022-1030).

    Parameters
    ----------
    data, model : (n,) float; use : (n,) bool or uint8
    c : float
    table : (m, 3) float64
        `spindle_lib_noise.robust_counts.moments_grid` of c.
    max_iterations : int

    Returns
    -------
    (float, float)
        q and its variance; 0 and 0 where the model is nothing. Without any count 0, and the variance of one.
    """
    seen = expected = 0.0
    for k in range(data.shape[0]):
        if use[k] and model[k] > 0.0:
            seen += data[k]
            expected += model[k]
    if not expected > 0.0:
        return 0.0, 0.0
    if not seen > 0.0:
        return 0.0, 1.0 / (expected * expected)
    q = seen / expected
    lowest = 1e-3 * q
    variance = 0.0
    for _ in range(max_iterations):
        score = information = spread = 0.0
        for k in range(data.shape[0]):
            if not use[k] or not model[k] > 0.0:
                continue
            mu = q * model[k]
            e1, info, var = interpolated_moments(table, mu)
            s = math.sqrt(mu)
            x = model[k] / s
            score += (min(max((data[k] - mu) / s, -c), c) - e1) * x
            information += info * model[k] * x
            spread += var * x * x
        if not information > 0.0:
            break
        new = max(q + score / information, lowest)
        variance = spread / (information * information)
        done = abs(new - q) <= 1e-4 * new
        q = new
        if done:
            break
    return q, variance
