"""Kernels of backgrounds between crowded spots, fitted together with the spots around them."""

from __future__ import annotations

import math

import numba
import numpy as np

from .joint_kernels import CELL, positive_mean

VALID, BACKGROUND = 1, 2
LEAST_SHARE = 0.01  # of a spot's photons in the background pixels; of less, the counts to be expected are taken off
NOTHING = 1e-7  # share of a pixel that is none
CYCLES = 3
LEAST_PIXELS, LEAST_WEIGHT = 20, 0.25
# What lies above the model by so much is part of neither background nor predicted spots.
OUTLIER_SIGMAS, OUTLIER_COUNTS, OUTLIER_SHARE = 6.0, 3.0, 0.5


@numba.njit(nogil=True, cache=True)
def boxes_near(queries, panel, own, box, members, starts, low, size):
    """Which boxes share pixels with those of some spots.

    Parameters
    ----------
    queries : (q, 6) int32; panel, own : (q,) int64
        Boxes, and the number of each among all; -1 for none.
    box : (n, 6) int32
        All boxes.
    members, starts, low, size
        Of `overlaps.spot_cells`.

    Returns
    -------
    pairs : (q + 1,) int64
        Query i has the boxes ``near[pairs[i]:pairs[i + 1]]``.
    near : (k,) int64
    """
    pairs = np.zeros(queries.shape[0] + 1, np.int64)
    near = np.empty(0, np.int64)
    for turn in range(2):
        if turn == 1:
            near = np.empty(pairs[-1], np.int64)
        total = 0
        for i in range(queries.shape[0]):
            x0, x1, y0, y1, z0, z1 = queries[i]
            i0, i1 = max(int(np.floor(x0 / CELL)) - low[0], 0), min(int(np.floor(x1 / CELL)) - low[0], size[0] - 1)
            j0, j1 = max(int(np.floor(y0 / CELL)) - low[1], 0), min(int(np.floor(y1 / CELL)) - low[1], size[1] - 1)
            for cy in range(j0, j1 + 1):
                for cx in range(i0, i1 + 1):
                    cell = (panel[i] * size[1] + cy) * size[0] + cx
                    if cell + 1 >= starts.shape[0]:
                        continue
                    for m in range(starts[cell], starts[cell + 1]):
                        q = members[m]
                        if box[q, 4] >= z1:
                            break
                        x, y = max(box[q, 0], x0), max(box[q, 2], y0)
                        if q == own[i] or box[q, 5] <= z0 or x >= min(box[q, 1], x1) or y >= min(box[q, 3], y1):
                            continue
                        # it is in several cells: that in which the common rectangle begins counts
                        if int(np.floor(x / CELL)) - low[0] == cx and int(np.floor(y / CELL)) - low[1] == cy:
                            if turn == 1:
                                near[total] = q
                            total += 1
            pairs[i + 1] = total
    return pairs, near


@numba.njit(nogil=True, cache=True)
def _shares_of_pixels(bbox, box, their_starts, theirs, first, last, slot, n_pixels):
    """Which neighbours have photons in which pixels of one spot, and what part.

    Returns
    -------
    begins : (n_pixels + 1,) int64; who : (k,) int64; part : (k,) float64
        Pixel m holds ``part`` of the neighbours ``who``, counted from ``first``.
    total : (last - first,) float64
        Part of each neighbour in all pixels.
    """
    begins = np.zeros(n_pixels + 1, np.int64)
    total = np.zeros(last - first)
    who, part, filled = np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    nx, ny = bbox[1] - bbox[0], bbox[3] - bbox[2]
    for turn in range(2):
        if turn == 1:
            for m in range(n_pixels):
                begins[m + 1] += begins[m]
            who, part, filled = np.empty(begins[-1], np.int64), np.empty(begins[-1]), begins[:-1].copy()
        for j in range(first, last):
            own_nx, own_ny = np.int64(box[j, 1] - box[j, 0]), np.int64(box[j, 3] - box[j, 2])
            x0, x1 = max(bbox[0], box[j, 0]), min(bbox[1], box[j, 1])
            for z in range(max(bbox[4], box[j, 4]), min(bbox[5], box[j, 5])):
                for y in range(max(bbox[2], box[j, 2]), min(bbox[3], box[j, 3])):
                    here = ((z - bbox[4]) * ny + y - bbox[2]) * nx - bbox[0]
                    there = their_starts[j] + ((z - box[j, 4]) * own_ny + y - box[j, 2]) * own_nx - box[j, 0]
                    for x in range(x0, x1):
                        m, p = slot[here + x], theirs[there + x]
                        if m < 0 or p < NOTHING:
                            continue
                        if turn == 0:
                            begins[m + 1] += 1
                            total[j - first] += p
                        else:
                            who[filled[m]], part[filled[m]] = j - first, p
                            filled[m] += 1
    return begins, who, part, total


@numba.njit(nogil=True, cache=True)
def crowded_backgrounds(
    rows, bbox, starts, data, mask, background, pairs, box, their_starts, theirs, expected, factor, mean_variance
):  # fmt: skip
    """Backgrounds of spots fitted to all pixels around their foregrounds, together with the spots that lie there.

    The counts of a pixel are f s + sum_j I_j p_j, with s the shape of the background; f and I_j are those of the weighted least-squares
    solution, with I_j known beforehand as those of a distribution with the mean to be expected and a standard deviation as large
    (Wilson's acentric one).

    Parameters
    ----------
    rows : (m,) int64
        Spots of the block.
    bbox : (n, 6) int32; starts : (n + 1,) int64; data, background : (p,) float32; mask : (p,) uint8
        Shoeboxes; the background tells the shape, 1 where a spot has none.
    pairs : (m + 1,) int64
        The neighbours of each among k in all.
    box : (k, 6) int32; their_starts : (k,) int64; theirs : (...) float32
        Boxes of the neighbours, where the profile of each begins, and the profiles.
    expected : (k,) float64, counts
        Mean intensities to be expected; negative where unknown.
    factor : (m,) float64, output
        f; negative where there is none.
    mean_variance : (m,) float64, output, counts^2
        Variance of f times the mean of s over the pixels.
    """
    for i in range(rows.shape[0]):
        r = rows[i]
        factor[i], mean_variance[i] = -1.0, 0.0
        begin, end = starts[r], starts[r + 1]
        slot = np.full(end - begin, -1, np.int64)
        n_pixels = 0
        for k in range(end - begin):
            if (mask[begin + k] & (VALID | BACKGROUND)) == (VALID | BACKGROUND):
                slot[k] = n_pixels
                n_pixels += 1
        if n_pixels < LEAST_PIXELS:
            continue
        d, s = np.empty(n_pixels), np.ones(n_pixels)
        for k in range(end - begin):
            if slot[k] >= 0:
                d[slot[k]] = data[begin + k]
                if background[begin + k] > 0.0:
                    s[slot[k]] = background[begin + k]
        first, last = pairs[i], pairs[i + 1]
        begins, who, part, total = _shares_of_pixels(bbox[r], box, their_starts, theirs, first, last, slot, n_pixels)
        number = np.zeros(last - first, np.int64)  # of the unknown of each neighbour; 0 is the background
        prior, weight = np.ones(last - first + 1), np.zeros(last - first + 1)
        n = 1
        for j in range(last - first):
            mean = expected[first + j]
            if total[j] >= LEAST_SHARE or (mean < 0.0 and total[j] > 0.0):
                prior[n] = max(mean, 1e-3) if mean >= 0.0 else 1.0
                weight[n] = prior[n] ** -2 if mean >= 0.0 else 1e-9
                number[j] = n
                n += 1
        for m in range(n_pixels):
            for q in range(begins[m], begins[m + 1]):
                if number[who[q]] == 0:
                    d[m] -= part[q] * expected[first + who[q]]
        answer = _solved(d, s, begins, who, part, number, prior[:n], weight[:n])
        if answer[0] > 0.0:
            factor[i], mean_variance[i] = answer


@numba.njit(nogil=True, cache=True)
def _solved(d, s, begins, who, part, number, prior, weight):
    """Factor of the background and variance of its mean, of one spot; see `crowded_backgrounds`."""
    n, n_pixels = prior.shape[0], d.shape[0]
    scale = prior.copy()
    level = 0.0
    for m in range(n_pixels):
        level += s[m]
    level /= n_pixels
    scale[0] = 1.0  # no bad beginning, since only weights depend on it
    a, right, x = np.zeros((n, n)), np.zeros(n), prior.copy()
    chi2, kept = 0.0, 0
    for cycle in range(CYCLES):
        a[:, :] = 0.0
        right[:] = 0.0
        chi2, kept = 0.0, 0
        floor = 0.05 * level * max(scale[0], 1e-3)
        for m in range(n_pixels):
            v, model, others = scale[0] * s[m], x[0] * s[m], 0.0
            for q in range(begins[m], begins[m + 1]):
                u = number[who[q]]
                if u > 0:
                    v += scale[u] * part[q]
                    others += x[u] * part[q]
            v = max(v, floor)
            model += others
            if cycle > 0:
                excess = d[m] - model
                if excess > OUTLIER_SIGMAS * math.sqrt(v) + OUTLIER_COUNTS + OUTLIER_SHARE * max(others, 0.0):
                    continue
                chi2 += excess * excess / v
            kept += 1
            w = 1.0 / v
            a[0, 0] += w * s[m] * s[m]
            right[0] += w * s[m] * d[m]
            for q in range(begins[m], begins[m + 1]):
                u = number[who[q]]
                if u == 0:
                    continue
                f = w * part[q]
                right[u] += f * d[m]
                a[u, 0] += f * s[m]
                for t in range(begins[m], q + 1):
                    o = number[who[t]]
                    if o > 0:
                        a[u, o] += f * part[t]
        for i in range(n):
            for j in range(i):
                a[j, i] = a[i, j]
            a[i, i] += weight[i]
            right[i] += weight[i] * prior[i]
        if not a[0, 0] > 0.0:
            return -1.0, 0.0
        g = np.linalg.inv(a)
        x = g @ right
        if not x[0] > 0.0:
            return -1.0, 0.0
        scale[0] = x[0]
        for i in range(1, n):
            scale[i] = max(positive_mean(x[i], g[i, i]), 1e-3)
    if kept < LEAST_PIXELS or kept < LEAST_WEIGHT * n_pixels:
        return -1.0, 0.0
    return x[0], g[0, 0] * level * level * max(chi2 / kept, 1.0)


@numba.njit(nogil=True, cache=True)
def rescale(rows, factor, starts, background):
    """Multiply the background (p,) float32 of some spots by their factors, if positive; 0 stands for the shape 1."""
    for i in range(rows.shape[0]):
        if factor[i] > 0.0:
            for k in range(starts[rows[i]], starts[rows[i] + 1]):
                background[k] = factor[i] * (background[k] if background[k] > 0.0 else 1.0)


@numba.njit(nogil=True, cache=True)
def move_down(which, begins, sizes, values, starts):
    """Move runs of values (p,) to its beginning, one behind the other.

    Run i begins at ``begins[i]``, ascending, and has ``sizes[which[i]]`` values; ``starts[which[i]]`` is set. Returns where the last ends.
    """
    end = 0
    for i in range(which.shape[0]):
        starts[which[i]] = end
        for k in range(sizes[which[i]]):
            values[end + k] = values[begins[i] + k]
        end += sizes[which[i]]
    return end
