"""Kernels of the radial background: sums over images, means of rings, and the fit to each shoebox.

Arrays: data (p,) float32 counts, used (p,) uint8, mask (p,) uint8, offsets (n + 1,) int64.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_noise.count_kernels import interpolated_moments

__all__ = [
    "add_pixels",
    "fit_counts",
    "fit_values",
    "place_pixels",
    "smooth_as_far_as_it_goes",
    "sum_bins",
    "sum_cells",
]

FOREGROUND = 4
MAX_ITERATIONS = 50
TOLERANCE = 1e-4
CLIP = 4.0  # standard deviations, of values that are no counts


@numba.njit(nogil=True, cache=True)
def add_pixels(values, free, total, number):
    """Add the free pixels of an image to the sums (slow, fast) float32 and numbers (slow, fast) uint16 of a panel."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            if free[y, x]:
                total[y, x] += values[y, x]
                number[y, x] += 1


@numba.njit(nogil=True, cache=True)
def _between(row, cell, x):
    """Value of a row of cells (n,) in the middle of pixel ``x``, linear between their middles and constant beyond them."""
    at = min(max((x + 0.5) / cell - 0.5, 0.0), row.shape[0] - 1.0)
    i = min(int(at), max(row.shape[0] - 2, 0))
    part = at - i
    return (1.0 - part) * row[i] + part * row[min(i + 1, row.shape[0] - 1)]


@numba.njit(nogil=True, cache=True)
def _row_of(grid, cell, y, row):
    """The cells (m, n) between two rows of them, at the middle of pixel row ``y``: ``row`` (n,) output."""
    for i in range(grid.shape[1]):
        row[i] = _between(grid[:, i], cell, y)


@numba.njit(nogil=True, cache=True)
def place_pixels(nodes, node, s0, normal, fraction, place, weight):
    """1/d and polarisation of the middles of all pixels of a panel.

    Parameters
    ----------
    nodes : (m, n, 3) float64, mm
        Laboratory positions of every ``node``-th middle of a pixel, one more each way than pixels need; linear between them.
    node : int, px
    s0, normal : (3,) float64
        Incident beam (1/angstrom), and unit normal of its polarisation.
    fraction : float
        Of polarisation.
    place : (slow, fast) float32, 1/angstrom, output
    weight : (slow, fast) float32, output
    """
    length = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    row = np.empty((nodes.shape[1], 3))
    for y in range(place.shape[0]):
        j = y // node
        part = (y - j * node) / node
        for i in range(row.shape[0]):
            for k in range(3):
                row[i, k] = (1.0 - part) * nodes[j, i, k] + part * nodes[j + 1, i, k]
        for i in range(row.shape[0] - 1):
            first, last = i * node, min((i + 1) * node, place.shape[1])
            for x in range(first, last):
                f = (x - first) / node
                u = (1.0 - f) * row[i, 0] + f * row[i + 1, 0]
                v = (1.0 - f) * row[i, 1] + f * row[i + 1, 1]
                w = (1.0 - f) * row[i, 2] + f * row[i + 1, 2]
                one = 1.0 / math.sqrt(u * u + v * v + w * w)
                u, v, w = u * one, v * one, w * one
                a, b, c = u * length - s0[0], v * length - s0[1], w * length - s0[2]
                along = (u * s0[0] + v * s0[1] + w * s0[2]) / length
                across = u * normal[0] + v * normal[1] + w * normal[2]
                place[y, x] = math.sqrt(a * a + b * b + c * c)
                weight[y, x] = max(
                    (1.0 - 2.0 * fraction) * (1.0 - across * across) + fraction * (1.0 + along * along), 1e-3
                )


@numba.njit(nogil=True, cache=True)
def sum_bins(total, number, place, lowest, step, weight, grid, cell, curve, limit, out):
    """Sum the pixels of a panel into bins, those left out that are far from what is known by now.

    Parameters
    ----------
    total : (slow, fast) float32; number : (slow, fast) uint16
        Sum of the counts of each pixel, and of how many images.
    place : (slow, fast) float32, 1/angstrom
        1/d of the pixel's middle.
    lowest, step : float, 1/angstrom
        Middle of the first bin, and width of the bins.
    weight : (slow, fast) float32
        Counts that a curve of 1 makes in it, times the correction of its cell.
    grid : (m, n) float64
        Corrections in the middles of cells of ``cell`` pixels.
    curve : (b,) float64
        Known so far; all 0 for nothing.
    limit : float
        Pixels further from the curve than so many standard deviations of Poisson counts do not count.
    out : (b, 2) float64
        Added to: counts, and what a curve of 1 would have made of them.
    """
    known = curve.max() > 0.0
    row = np.empty(grid.shape[1])
    for y in range(total.shape[0]):
        _row_of(grid, cell, y, row)
        for x in range(total.shape[1]):
            n = number[y, x]
            if n == 0:
                continue
            b = int((place[y, x] - lowest) / step + 0.5)
            one = n * weight[y, x] * _between(row, cell, x)
            if known:
                expected = curve[b] * one
                if abs(total[y, x] - expected) > limit * math.sqrt(max(expected, 1.0)):
                    continue
            out[b, 0] += total[y, x]
            out[b, 1] += one


@numba.njit(nogil=True, cache=True)
def sum_cells(total, number, place, lowest, step, weight, curve, limit, cell, out):
    """Observed and expected counts of the cells of a panel, pixels left out that are far from what is expected.

    Parameters
    ----------
    total, number, place, lowest, step, weight, curve, limit
        As in `sum_bins`; 30 % of the expected counts are allowed on top.
    cell : int, px
    out : (2, m, n) float64
        Added to.
    """
    last = curve.shape[0] - 1
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            n = number[y, x]
            if n == 0:
                continue
            at = min(max((place[y, x] - lowest) / step, 0.0), float(last))
            b = min(int(at), last - 1)
            expected = (curve[b] + (at - b) * (curve[b + 1] - curve[b])) * weight[y, x] * n
            seen = float(total[y, x])
            if abs(seen - expected) <= limit * math.sqrt(max(expected, 1.0)) + 0.3 * expected:
                out[0, y // cell, x // cell] += seen
                out[1, y // cell, x // cell] += expected


@numba.njit(nogil=True, cache=True)
def smooth_as_far_as_it_goes(counts, exposure, widest, certainty, curve, error):
    """Means over windows as wide as the data allow: sharp where there is a ring, smooth where there is noise.

    For each bin windows of growing half width 0, 1, 2, 4 ... bins are tried; the last whose confidence interval still meets all
    those before is taken (intersection of confidence intervals: Goldenshluger & Nemirovski 1997, Math. Methods Stat. 6, 135-170).

    Parameters
    ----------
    counts, exposure : (b,) float64
        Sum of counts, and what a curve of 1 would make; 0 where there is nothing.
    widest : int
        Largest half width.
    certainty : float
        Half width of the intervals in standard deviations.
    curve, error : (b,) float64, output
        Mean and its standard deviation; 0 and infinity where nothing lies within the widest window.
    """
    n = counts.shape[0]
    c, e = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        c[k + 1] = c[k] + counts[k]
        e[k + 1] = e[k] + exposure[k]
    for k in range(n):
        low, high = -1e300, 1e300
        curve[k], error[k] = 0.0, np.inf
        half = 0
        while half <= widest:
            a, b = max(k - half, 0), min(k + half + 1, n)
            reach = min(k - a, b - 1 - k)  # as far to one side as to the other, or slopes would shift the mean
            a, b = k - reach, k + reach + 1
            exposed = e[b] - e[a]
            if exposed > 0.0:
                seen = c[b] - c[a]
                mean, sd = seen / exposed, math.sqrt(max(seen, 0.0) + 1.0) / exposed
                low, high = max(low, mean - certainty * sd), min(high, mean + certainty * sd)
                if low > high:
                    break
                curve[k], error[k] = mean, sd
            half = 1 if half == 0 else 2 * half


@numba.njit(nogil=True, cache=True)
def _shape(first, area, last, start, smooth, sharp, used, mask):
    """Sums over a shoebox: pixels used, smooth and sharp of those; foreground pixels, smooth and sharp of those; weak."""
    n = m = 0
    s_used = r_used = s_spot = r_spot = 0.0
    for k in range(first, last):
        j = start + (k - first) % area
        if used[k] != 0:
            n += 1
            s_used += smooth[j]
            r_used += sharp[j]
        if mask[k] & FOREGROUND:
            m += 1
            s_spot += smooth[j]
            r_spot += sharp[j]
    return n, s_used, r_used, m, s_spot, r_spot


@numba.njit(nogil=True, cache=True)
def fit_counts(
    data, used, mask, offsets, areas, starts, smooth, sharp, spread, min_pixels, c, table,
    background, mean, mean_variance, success,
):  # fmt: skip
    """Robust Poisson fit of mu = a smooth + b sharp to the used pixels of each shoebox, with b / a about 1.

    The score of Cantoni & Ronchetti (2001) with an identity link: sum (psi - E psi) x / sqrt(mu), plus a prior of b - a with the
    standard deviation ``spread`` a. Solved by Fisher scoring; means stay above a thousandth of where they start.

    Parameters
    ----------
    areas, starts : (n,) int64
        Pixels of an image of each shoebox, and where its part of the shapes begins.
    smooth, sharp : (q,) float64
        Shape of the background in the pixels of an image, the same for all images of a shoebox.
    spread : float
        How much the sharp part varies, relative to the smooth one.
    table : (m, 3) float64
        `moments_grid` of c.
    background : (p,) float32; mean, mean_variance : (n,) float64; success : (n,) bool
        Output.
    """
    for i in range(success.shape[0]):
        first, last, area, start = offsets[i], offsets[i + 1], areas[i], starts[i]
        n, s_used, r_used, m, s_spot, r_spot = _shape(first, area, last, start, smooth, sharp, used, mask)
        total, negative = 0.0, False
        for k in range(first, last):
            if used[k] != 0:
                total += data[k]
                negative |= not data[k] >= 0.0
        if n < max(min_pixels, 1) or negative or not s_used + r_used > 0.0:
            continue
        if total == 0.0:  # not one photon: nothing, with the variance of one photon in n pixels
            success[i] = True
            mean_variance[i] = 1.0 / (float(n) * n)
            continue
        two = r_used > 0.003 * s_used or r_spot > 0.003 * max(s_spot, 1e-300)
        a = b = total / (s_used + r_used)
        floor = 1e-3 * a
        prior = 1.0 / (spread * a) ** 2
        h00 = h01 = h11 = m00 = m01 = m11 = 0.0
        converged = False
        for _ in range(MAX_ITERATIONS):
            ua = ub = h00 = h01 = h11 = m00 = m01 = m11 = 0.0
            mu_before, e1, info, var = -1.0, 0.0, 0.0, 0.0
            for k in range(first, last):
                if used[k] == 0:
                    continue
                j = start + (k - first) % area
                s, r = smooth[j], sharp[j]
                mu = max(a * s + b * r, 1e-12)
                if mu != mu_before:
                    e1, info, var = interpolated_moments(table, mu)
                    mu_before = mu
                root = math.sqrt(mu)
                psi = (min(max((data[k] - mu) / root, -c), c) - e1) / root
                h = info / root
                v = var / mu
                ua += psi * s
                ub += psi * r
                h00 += h * s * s
                h01 += h * s * r
                h11 += h * r * r
                m00 += v * s * s
                m01 += v * s * r
                m11 += v * r * r
            if two:
                pull = prior * (b - a)
                ua += pull
                ub -= pull
                h00 += prior
                h01 -= prior
                h11 += prior
                m00 += prior
                m01 -= prior
                m11 += prior
                det = h00 * h11 - h01 * h01
                if not det > 0.0:
                    break
                da = (ua * h11 - ub * h01) / det
                db = (ub * h00 - ua * h01) / det
            else:
                if not h00 > 0.0:
                    break
                da = (ua + ub) / (h00 + 2.0 * h01 + h11)
                db = da
            a_new, b_new = max(a + da, floor), max(b + db, floor)
            change = max(abs(a_new - a), abs(b_new - b))
            a, b = a_new, b_new
            if change < TOLERANCE * max(a, b):
                converged = True
                break
        if not converged:
            continue
        level = 0.0
        for k in range(first, last):
            j = start + (k - first) % area
            mu = a * smooth[j] + b * sharp[j]
            background[k] = mu
            level += mu
        mean[i] = level / (last - first)
        gs, gr = (s_spot / m, r_spot / m) if m > 0 else (s_used / n, r_used / n)
        if two:
            det = h00 * h11 - h01 * h01
            pa, pb = (gs * h11 - gr * h01) / det, (gr * h00 - gs * h01) / det
            mean_variance[i] = pa * pa * m00 + 2.0 * pa * pb * m01 + pb * pb * m11
        else:
            h = h00 + 2.0 * h01 + h11
            mean_variance[i] = ((gs + gr) / h) ** 2 * (m00 + 2.0 * m01 + m11)
        success[i] = True


@numba.njit(nogil=True, cache=True)
def fit_values(
    data, used, mask, offsets, areas, starts, smooth, sharp, min_pixels, background, mean, mean_variance, success
):
    """Least squares of a (smooth + sharp) to values that are no counts, those beyond `CLIP` standard deviations left out.

    Parameters as in `fit_counts`; the scatter of the pixels themselves tells the variance. ``used`` is cleared of outliers.
    """
    for i in range(success.shape[0]):
        first, last, area, start = offsets[i], offsets[i + 1], areas[i], starts[i]
        a = scatter = shapes = 0.0
        good = False
        for turn in range(3):
            n = 0
            xy = xx = yy = 0.0
            for k in range(first, last):
                if used[k] == 0:
                    continue
                j = start + (k - first) % area
                x = smooth[j] + sharp[j]
                n += 1
                xy += x * data[k]
                xx += x * x
            if n < max(min_pixels, 2) or not xx > 0.0:
                break
            a, shapes = xy / xx, xx
            for k in range(first, last):
                if used[k] != 0:
                    j = start + (k - first) % area
                    yy += (data[k] - a * (smooth[j] + sharp[j])) ** 2
            scatter = yy / (n - 1)
            good = True
            if turn < 2:
                limit = CLIP * math.sqrt(scatter)
                for k in range(first, last):
                    if used[k] != 0:
                        j = start + (k - first) % area
                        if abs(data[k] - a * (smooth[j] + sharp[j])) > limit:
                            used[k] = 0
        if not good:
            continue
        level = shape = 0.0
        m = 0
        for k in range(first, last):
            j = start + (k - first) % area
            x = smooth[j] + sharp[j]
            background[k] = a * x
            level += a * x
            if mask[k] & FOREGROUND:
                m += 1
                shape += x
        mean[i] = level / (last - first)
        shape = shape / m if m > 0 else math.sqrt(shapes / max(n, 1))
        mean_variance[i] = scatter * shape * shape / shapes
        success[i] = True
