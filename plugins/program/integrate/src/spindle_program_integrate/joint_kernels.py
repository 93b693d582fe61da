"""Kernels of the joint fit of overlapping spots: who overlaps with whom, one equation for each spot, and the solution of them all."""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_noise.believed import counts_of_variance

VALID, FOREGROUND = 1, 4
LEAST_SHARE = 1e-3  # of a neighbour's photons in the foreground of a spot; less is not worth an unknown
LEAST_COVERAGE = 0.1
# As for single fits: what lies above the model by so much all together is no part of these spots.
OUTLIER_SIGMAS, OUTLIER_SHARE, OUTLIER_COUNTS = 6.0, 0.1, 3.0
CELL = 32  # pixels along the edge of a cell of the map of spots
MOST_LOCAL = 32  # unknowns around a spot that its variance is found from


@numba.njit(nogil=True, cache=True)
def foreground_rectangles(bbox, starts, mask):
    """(n, 4) int32: x0, x1, y0, y1 of the foreground of each shoebox, pixels of the panel; empty without any.

    ``starts`` (n,) int64 is the first pixel of each in ``mask`` (p,) uint8, which may hold others, too.
    """
    out = np.zeros((bbox.shape[0], 4), np.int32)
    for r in range(bbox.shape[0]):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        x0, x1, y0, y1 = nx, 0, ny, 0
        k = starts[r]
        for _ in range(bbox[r, 5] - bbox[r, 4]):
            for y in range(ny):
                for x in range(nx):
                    if mask[k] & FOREGROUND:
                        x0, x1, y0, y1 = min(x0, x), max(x1, x + 1), min(y0, y), max(y1, y + 1)
                    k += 1
        if x1 > x0:
            out[r, 0], out[r, 1] = bbox[r, 0] + x0, bbox[r, 0] + x1
            out[r, 2], out[r, 3] = bbox[r, 2] + y0, bbox[r, 2] + y1
    return out


@numba.njit(nogil=True, cache=True)
def shares_in_foreground(bbox, starts, mask, rectangles, pairs, their_starts, theirs, out):
    """Parts of neighbours in the foregrounds of spots: in all of it and in its valid pixels, into ``out`` (k, 2) float64.

    All others as in `joint_equations`.
    """
    for r in range(bbox.shape[0]):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        wide, high = rectangles[r, 1] - rectangles[r, 0], rectangles[r, 3] - rectangles[r, 2]
        corner = starts[r] + (rectangles[r, 2] - bbox[r, 2]) * nx + rectangles[r, 0] - bbox[r, 0]
        for j in range(pairs[r], pairs[r + 1]):
            every, valid, k = 0.0, 0.0, their_starts[j]
            for z in range(bbox[r, 5] - bbox[r, 4]):
                for y in range(high):
                    begin = corner + (z * ny + y) * nx
                    bits, profile = mask[begin : begin + wide], theirs[k : k + wide]
                    for x in range(wide):
                        if profile[x] != 0.0 and bits[x] & FOREGROUND:
                            every += profile[x]
                            if bits[x] & VALID:
                                valid += profile[x]
                    k += wide
            out[j, 0], out[j, 1] = every, valid


@numba.njit(nogil=True, cache=True)
def positive_mean(mean, variance):
    """Mean of a normal distribution that is cut off at 0."""
    sigma = math.sqrt(variance)
    t = mean / sigma
    if t < -6.0:
        return sigma / (-t + 1.0 / -t)
    return mean + sigma * math.exp(-0.5 * t * t) / (1.2533141373155003 * math.erfc(-t * 0.7071067811865476))


@numba.njit(nogil=True, cache=True)
def joint_equations(
    bbox, starts, data, mask, background, rectangles, own_starts, own, pairs, their_starts, theirs, expected,
    their_expected, diagonal, right, slope, share, spread, cross,
):  # fmt: skip
    """The equation of each spot for the intensities of itself and its neighbours.

    That of spot i demands that the sum over its foreground of (p_i / v) (d - b - sum_j I_j p_j) vanish, j running over the spot and its
    neighbours: sum_j M_ij I_j = r_i with M_ij = sum(p_i p_j / v). Only pixels of spot i enter, so that each can be set up when
    its last image has passed, and all are solved together when all have. Weights are as in single fits, v = b + sum_j J_j p_j
    with J the mean of the posterior distribution given a fit of the spot's own pixels and the mean intensity to be expected. Variances
    are those of counts of mean b + sum_j K_j p_j, with K drawn from J towards that mean where counts are few.

    Parameters
    ----------
    bbox : (n, 6) int32; starts : (n,) int64; data, background : (p,) float32; mask : (p,) uint8
        Shoeboxes, and the first pixel of each among those of these and others.
    rectangles : (n, 4) int32
        Their foregrounds lie in these.
    own_starts : (n,) int64; own : (q,) float32
        Profile of each spot in its box, where it begins.
    pairs : (n + 1,) int64
        The neighbours of each spot among k in all.
    their_starts : (k,) int64; theirs : (...) float32
        The profile of each neighbour in the rectangle of the spot, where it begins.
    expected : (n,), their_expected : (k,) float64, counts
        Mean intensities to be expected; negative where unknown.
    diagonal, right, slope, share, spread : (n,) float64, output
        M_ii, or 0 where the spot has no equation; r_i; sum of p_i / v; part of the profile in valid foreground; variance of r_i over M_ii.
    cross : (k,) float64, output
        M_ij.

    References
    ----------
    Bourgeois, Nurizzo, Kahn & Cambillau (1998), J. Appl. Cryst. 31, 22-35 (deconvolution of overlaps); weights: see `fit_pixels` of
    profile models.
    """
    most, largest = 0, 1
    for r in range(bbox.shape[0]):
        most = max(most, pairs[r + 1] - pairs[r])
        largest = max(
            largest,
            (rectangles[r, 1] - rectangles[r, 0]) * (rectangles[r, 3] - rectangles[r, 2]) * (bbox[r, 5] - bbox[r, 4]),
        )
    p = np.empty((most + 1, largest))
    d, b = np.empty(largest), np.empty(largest)
    active, scale, prior, s = np.empty(most + 1, np.int64), np.empty(most + 1), np.empty(most + 1), np.empty(most + 1)
    maker = np.empty(most + 1)
    for r in range(bbox.shape[0]):
        diagonal[r], right[r], slope[r], share[r], spread[r] = 0.0, 0.0, 0.0, 0.0, 1.0
        first, last = pairs[r], pairs[r + 1]
        for j in range(first, last):
            cross[j] = 0.0
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        wide, high = rectangles[r, 1] - rectangles[r, 0], rectangles[r, 3] - rectangles[r, 2]
        count = 0
        for z in range(bbox[r, 5] - bbox[r, 4]):
            for y in range(high):
                for x in range(wide):
                    at = (
                        starts[r]
                        + (z * ny + y + rectangles[r, 2] - bbox[r, 2]) * nx
                        + x
                        + rectangles[r, 0]
                        - bbox[r, 0]
                    )
                    if (mask[at] & (VALID | FOREGROUND)) == (VALID | FOREGROUND):
                        k = (z * high + y) * wide + x
                        d[count], b[count] = data[at], background[at]
                        p[0, count] = own[own_starts[r] + at - starts[r]]
                        for j in range(first, last):
                            p[1 + j - first, count] = theirs[their_starts[j] + k]
                        count += 1
        covered, level, above = 0.0, 0.0, 0.0
        for m in range(count):
            covered += p[0, m]
            level += b[m]
            above += d[m] - b[m]
        share[r] = covered
        if covered < LEAST_COVERAGE:
            continue
        n = 1
        active[0] = -1
        prior[0] = expected[r] if expected[r] >= 0.0 else max(above / covered, 1.0)
        for j in range(first, last):
            active[n] = j
            prior[n] = their_expected[j] if their_expected[j] >= 0.0 else max(above / covered, 1.0)
            n += 1
        floor = max(level / count, 0.5 / count) * 0.05
        for i in range(n):
            prior[i] = max(prior[i], 1e-3)
        a, estimate = np.zeros((n, n)), np.zeros(n)
        for attempt in range(3):
            scale[:n] = prior[:n]
            for cycle in range(2):
                a[:, :] = 0.0
                s[:n] = 0.0
                slope[r] = 0.0
                for m in range(count):
                    v = max(b[m], floor)
                    for i in range(n):
                        v += scale[i] * p[i, m]
                    slope[r] += p[0, m] / v
                    for i in range(n):
                        f = p[i, m] / v
                        s[i] += f * (d[m] - b[m])
                        for j in range(i + 1):
                            a[i, j] += f * p[j, m]
                for i in range(n):
                    for j in range(i):
                        a[j, i] = a[i, j]
                diagonal[r], right[r] = a[0, 0], s[0]
                for i in range(1, n):
                    cross[active[i]] = a[0, i]
                    # a neighbour of which these pixels know little is what such spots are
                    a[i, i] += 1.0 / (prior[i] * prior[i])
                    s[i] += 1.0 / prior[i]
                g = np.linalg.inv(a)
                for i in range(n):
                    estimate[i] = 0.0
                    for j in range(n):
                        estimate[i] += g[i, j] * s[j]
                if cycle == 0:
                    scale[0] = max(positive_mean(estimate[0] - g[0, 0] / prior[0], g[0, 0]), 1e-3)
                    for i in range(1, n):
                        scale[i] = max(positive_mean(estimate[i], g[i, i]), 1e-3)
                    for i in range(n):
                        known = expected[r] if i == 0 else their_expected[active[i]]
                        maker[i] = counts_of_variance(prior[i], scale[i], g[i, i]) if known >= 0.0 else scale[i]
            spread[r] = 0.0
            for m in range(count):
                v, made = max(b[m], floor), max(b[m], floor)
                for i in range(n):
                    v += scale[i] * p[i, m]
                    made += maker[i] * p[i, m]
                spread[r] += made * (p[0, m] / v) ** 2 / diagonal[r]
            if attempt == 2:
                break
            allowed = OUTLIER_COUNTS
            for i in range(n):
                allowed += OUTLIER_SHARE * max(estimate[i], 0.0)
            kept, kept_share = 0, 0.0
            for turn in range(2):
                if turn == 1 and (kept == count or kept_share < 0.5 * covered):
                    break
                kept, kept_share = 0, 0.0
                for m in range(count):
                    v, model = max(b[m], floor), 0.0
                    for i in range(n):
                        v += scale[i] * p[i, m]
                        model += estimate[i] * p[i, m]
                    if d[m] - b[m] - model <= OUTLIER_SIGMAS * math.sqrt(v) + allowed + max(model, 0.0):
                        kept_share += p[0, m]
                        if turn == 1:
                            d[kept], b[kept] = d[m], b[m]
                            for i in range(n):
                                p[i, kept] = p[i, m]
                        kept += 1
            if kept == count or kept_share < 0.5 * covered:
                break
            count = kept


@numba.njit(nogil=True, cache=True)
def relax(starts, columns, diagonal, right, cross, values, most_sweeps):
    """Solve sum_j M_ij x_j = r_i for all unknowns by Gauss-Seidel sweeps, starting from ``values`` (n,), which are replaced.

    Returns the largest change of the last sweep in units of 1 / sqrt(M_ii).
    """
    worst = 0.0
    for _ in range(most_sweeps):
        worst = 0.0
        for i in range(diagonal.shape[0]):
            x = right[i]
            for k in range(starts[i], starts[i + 1]):
                x -= cross[k] * values[columns[k]]
            x /= diagonal[i]
            worst = max(worst, abs(x - values[i]) * math.sqrt(diagonal[i]))
            values[i] = x
        if worst < 1e-3:
            break
    return worst


@numba.njit(nogil=True, cache=True)
def local_variances(
    first, last, n_equations, starts, columns, diagonal, cross, spread, own_noise, share, their_share, values, fitted,
    removed, sum_change,
):  # fmt: skip
    """Variances of solutions, from the unknowns around each: neighbours, and theirs.

    Parameters
    ----------
    first, last : int
        Unknowns to treat.
    n_equations : int
        The unknowns beyond are known by what such spots are alone.
    starts, columns, diagonal, cross, values
        As in `relax`, solved.
    spread : (n,) float64
        See `joint_equations`.
    own_noise : (n,) float64
        What the background's uncertainty adds to the variance of r_i.
    share : (n,), their_share : (k,) float64
        See `joint_equations`.
    fitted : (n,) float64, output
        Variances.
    removed : (n,) float64, output
        Counts of neighbours in the foreground.
    sum_change : (n,) float64, output
        What taking them off adds to the variance of the summed counts, covariances included.
    """
    place = np.full(diagonal.shape[0], -1, np.int64)
    members = np.empty(MOST_LOCAL, np.int64)
    for i in range(first, last):
        n = 1
        members[0] = i
        place[i] = 0
        k = 0
        # spots around spots, nearest first, until they are many
        ring = 1
        while k < n and k < ring:
            r = members[k]
            for q in range(starts[r], starts[r + 1]):
                c = columns[q]
                if cross[q] != 0.0 and place[c] < 0 and n < MOST_LOCAL:
                    place[c] = n
                    members[n] = c
                    n += 1
            if k == 0:
                ring = n
            k += 1
        m, noise, u, common = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n), np.zeros(n)
        for a in range(n):
            r = members[a]
            m[a, a] += diagonal[r]
            noise[a, a] += diagonal[r] * spread[r] + own_noise[r]
            for q in range(starts[r], starts[r + 1]):
                c = place[columns[q]]
                if c >= 0:
                    m[a, c] += cross[q]
                    if columns[q] < n_equations:
                        both = 0.5 * cross[q] * math.sqrt(spread[r] * spread[columns[q]])
                        noise[a, c] += both
                        noise[c, a] += both
        common[0] = share[i] * spread[i]
        removed[i] = 0.0
        for q in range(starts[i], starts[i + 1]):
            removed[i] += their_share[q] * values[columns[q]]
            if place[columns[q]] >= 0:
                u[place[columns[q]]] = their_share[q]
                common[place[columns[q]]] = their_share[q] * spread[columns[q]] if columns[q] < n_equations else 0.0
        g = np.linalg.inv(m)
        covariance = g @ noise @ g.T
        fitted[i] = covariance[0, 0]
        seen = g @ common
        change = 0.0
        for a in range(1, n):
            change -= 2.0 * u[a] * seen[a]
            for c in range(1, n):
                change += u[a] * covariance[a, c] * u[c]
        sum_change[i] = change
        for a in range(n):
            place[members[a]] = -1


@numba.njit(nogil=True, cache=True)
def box_cells(box, panel, low, size):
    """Cells that boxes lie in: number of the cell and of the box, of each pair."""
    total = 0
    for turn in range(2):
        if turn == 1:
            cells, members = np.empty(total, np.int64), np.empty(total, np.int64)
        total = 0
        for r in range(box.shape[0]):
            for j in range(int(np.floor(box[r, 2] / CELL)) - low[1], int(np.floor(box[r, 3] / CELL)) - low[1] + 1):
                for i in range(int(np.floor(box[r, 0] / CELL)) - low[0], int(np.floor(box[r, 1] / CELL)) - low[0] + 1):
                    if turn == 1:
                        cells[total] = (panel[r] * size[1] + j) * size[0] + i
                        members[total] = r
                    total += 1
    return cells, members


@numba.njit(nogil=True, cache=True)
def box_pairs(box, members, starts, low, size):
    """Pairs of boxes that intersect, each once; members of a cell are sorted by their first image."""
    total = 0
    for turn in range(2):
        if turn == 1:
            a, b = np.empty(total, np.int64), np.empty(total, np.int64)
        total = 0
        for cell in range(starts.shape[0] - 1):
            i, j = cell % size[0] + low[0], cell // size[0] % size[1] + low[1]
            for m in range(starts[cell], starts[cell + 1]):
                p = members[m]
                for n in range(m + 1, starts[cell + 1]):
                    q = members[n]
                    if box[q, 4] >= box[p, 5]:
                        break
                    x, y = max(box[p, 0], box[q, 0]), max(box[p, 2], box[q, 2])
                    if x >= min(box[p, 1], box[q, 1]) or y >= min(box[p, 3], box[q, 3]):
                        continue
                    # a pair is that of the cell in which its common rectangle begins
                    if int(np.floor(x / CELL)) == i and int(np.floor(y / CELL)) == j:
                        if turn == 1:
                            a[total], b[total] = p, q
                        total += 1
    return a, b
