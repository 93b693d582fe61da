"""Robust Poisson regression (Cantoni & Ronchetti 2001) of the background pixels of ragged shoeboxes.

The quasi-likelihood equation sum_i (psi((y_i - mu_i) / sqrt(mu_i)) - E[psi]) sqrt(mu_i) x_i = 0, mu = exp(x . beta),
psi Huber's function with tuning constant c, is solved by Fisher scoring. E[psi] makes it unbiased for Poisson counts
however few.

Arrays: data (p,) float32 counts, used (p,) uint8, mask (p,) uint8, bbox (n, 6) int32 as x0 x1 y0 y1 z0 z1, offsets (n +
1,) int64. Results: background (p,) float32, mean (n,) float64, mean_variance (n,) float64, success (n,) bool.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from spindle_lib_noise.count_kernels import huber_poisson_moments

from .linear_kernels import solve_cholesky

__all__ = ["any_negative", "fit_constant", "fit_loglinear"]

FOREGROUND = 4
N_BINS = 4096  # counts below this go through a histogram
TOLERANCE = 1e-3  # of the change of beta relative to beta
MAX_ITERATIONS = 100
MAX_ETA = 300.0


@numba.njit(nogil=True, cache=True)
def any_negative(data, used):
    """Whether a used pixel has a value below zero. Without branches, as all others of this file that look at every pixel."""
    found = np.uint8(0)
    for k in range(data.shape[0]):
        found |= np.uint8(used[k] != 0) & np.uint8(data[k] < np.float32(0.0))
    return found != 0


@numba.njit(nogil=True, cache=True)
def _look(data, used, mask):
    """Numbers of used pixels and of foreground among some (m,); whether a used one is negative or not a number; whether all are bins."""
    n_used, n_foreground, negative, other = 0, 0, np.uint8(0), np.uint8(0)
    for k in range(data.shape[0]):
        is_used, value = np.uint8(used[k] != 0), data[k]
        n_used += is_used
        n_foreground += (mask[k] & np.uint8(FOREGROUND)) != 0
        negative |= is_used & np.uint8(not value >= np.float32(0.0))
        other |= is_used & np.uint8(not (value < np.float32(N_BINS) and value == np.floor(value)))
    return n_used, n_foreground, negative != 0, other == 0


@numba.njit(nogil=True, cache=True)
def _collect_whole(data, used, even, odd, values, counts):
    """`_collect` for used pixels that are whole counts below N_BINS, all others (m,) whatever they are.

    Two tables in turn, ``even`` and ``odd`` (N_BINS,) int64, zero before and after: the same number often comes twice running, and
    would have to wait for itself.
    """
    n_bins = 0
    m = data.shape[0]
    zero = np.float32(0.0)
    for i in range(m // 2):
        k = np.uint64(2 * i)
        one, two = used[k] != 0, used[k + np.uint64(1)] != 0
        even[np.uint64(data[k] if one else zero)] += one
        odd[np.uint64(data[k + np.uint64(1)] if two else zero)] += two
    if m % 2 and used[m - 1] != 0:
        even[np.int64(data[m - 1])] += 1
    n, highest = 0, 0
    for k in range(m):
        n += used[k] != 0
        highest = max(highest, np.int32(data[k] if used[k] != 0 else zero))
    whole = 0
    for j in range(highest + 1):
        number = even[j] + odd[j]
        even[j] = odd[j] = 0
        if number > 0:
            values[n_bins] = j
            counts[n_bins] = number
            n_bins += 1
            whole += j * number
    total = float(whole)
    median = total / max(n, 1)
    seen = 0
    for i in range(n_bins):
        if seen <= n // 2 < seen + counts[i]:
            median = values[i]
        seen += counts[i]
    return n, n_bins, total, median


@numba.njit(nogil=True, cache=True)
def _collect(data, used, first, last, exact, floors, values, counts):
    """Sort the used pixels first .. last - 1 into bins: number of pixels, of bins, their sum, their upper median.

    Whole counts below N_BINS share a bin, any other value has one of its own; bins go to values (m,) float64 and counts
    (m,) int64. The median is rounded down to a whole number; beyond the histogram it is the mean, good enough to start
    from. exact, floors (N_BINS,) int64 are zero before and after.
    """
    n = n_bins = 0
    highest = -1
    total = 0.0
    for k in range(first, last):
        if used[k] == 0:
            continue
        value = np.float64(data[k])
        n += 1
        total += value
        if value < N_BINS:
            floor = int(value)
            floors[floor] += 1
            highest = max(highest, floor)
            if floor == value:
                exact[floor] += 1
                continue
        values[n_bins] = value
        counts[n_bins] = 1
        n_bins += 1
    median = total / max(n, 1)
    seen = 0
    for j in range(highest + 1):
        if exact[j] > 0:
            values[n_bins] = j
            counts[n_bins] = exact[j]
            n_bins += 1
            exact[j] = 0
        if seen <= n // 2 < seen + floors[j]:
            median = float(j)
        seen += floors[j]
        floors[j] = 0
    return n, n_bins, total, median


@numba.njit(nogil=True, cache=True)
def _huber_mean(values, counts, n_bins, n, start, c):
    """Robust Poisson mean of n data in bins, from a first guess: mean, its variance, converged."""
    mu = start if start > 0.0 else 1.0
    beta = math.log(mu)
    converged = False
    for _ in range(MAX_ITERATIONS):
        mu = math.exp(beta)
        s = math.sqrt(mu)
        e1, information, _variance = huber_poisson_moments(mu, c)
        score = 0.0
        for j in range(n_bins):
            r = (values[j] - mu) / s
            score += counts[j] * min(max(r, -c), c)
        curvature = n * information * mu * s
        if not curvature > 0.0:
            break
        step = (score - n * e1) * s / curvature
        beta += step
        if not abs(beta) < MAX_ETA:
            break
        if abs(step) < TOLERANCE * abs(beta) or abs(step) < 1e-12:
            converged = True
            break
    mu = math.exp(beta) if converged else 0.0
    variance = 0.0
    if converged:
        _e1, information, psi_variance = huber_poisson_moments(mu, c)
        # var(beta) = n var(psi) mu / (n information mu^1.5)^2, var(mu) = mu^2 var(beta)
        variance = psi_variance / (n * information * information)
    return mu, variance, converged


@numba.njit(nogil=True, cache=True)
def fit_constant(data, used, mask, bbox, offsets, per_slice, min_pixels, c, background, mean, mean_variance, success):
    """One robust Poisson mean of each slice (``per_slice``) or of the whole shoebox.

    Counts are sorted into a histogram first, so that an iteration costs the number of different counts, not of pixels.
    """
    largest = 1
    for i in range(offsets.shape[0] - 1):
        largest = max(largest, offsets[i + 1] - offsets[i])
    exact, floors = np.zeros(N_BINS, np.int64), np.zeros(N_BINS, np.int64)
    values, counts = np.empty(largest, np.float64), np.empty(largest, np.int64)
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        n_groups = bbox[i, 5] - bbox[i, 4] if per_slice else 1
        step = (last - first) // max(n_groups, 1)
        n_used, n_foreground, negative, whole = _look(data[first:last], used[first:last], mask[first:last])
        if n_used < min_pixels or negative:
            continue
        good = True
        level = 0.0
        variance_of_mean = 0.0
        for g in range(n_groups):
            start = first + g * step
            if whole:
                some = slice(start, start + step)
                n, n_bins, total, median = _collect_whole(data[some], used[some], exact, floors, values, counts)
            else:
                n, n_bins, total, median = _collect(data, used, start, start + step, exact, floors, values, counts)
            if n == 0:
                good = False
                break
            if total == 0.0:  # not one photon: mu -> 0; its variance is that of one photon in n pixels
                mu = 0.0
                variance = 1.0 / (float(n) * n)
            else:
                mu, variance, converged = _huber_mean(values, counts, n_bins, n, median, c)
                if not converged:
                    good = False
                    break
            m = 0
            background[start : start + step] = mu
            if n_groups == 1:
                m = n_foreground
            else:
                for bits in mask[start : start + step]:
                    m += (bits & np.uint8(FOREGROUND)) != 0
            level += mu / n_groups
            weight = m / n_foreground if n_foreground > 0 else 1.0 / n_groups
            variance_of_mean += weight * weight * variance
        success[i] = good
        mean[i] = level
        mean_variance[i] = variance_of_mean


@numba.njit(nogil=True, cache=True)
def fit_loglinear(data, used, mask, bbox, offsets, per_slice, min_pixels, c, background, mean, mean_variance, success):
    """log mu = b0 + b1 x + b2 y of each slice (``per_slice``), or with b3 z of the whole shoebox.

    Coordinates are centred on the used pixels. Where these lie in one slice the z term is left out; pixels on one line,
    negative values and fits that do not converge are failures.
    """
    design = np.empty(4, np.float64)
    beta = np.zeros(4, np.float64)
    score = np.empty(4, np.float64)
    curvature = np.empty((4, 4), np.float64)
    meat = np.empty((4, 4), np.float64)
    centre = np.empty(3, np.float64)
    spread = np.empty(3, np.float64)
    foreground = np.empty(4, np.float64)
    largest = 1
    for i in range(offsets.shape[0] - 1):
        largest = max(largest, offsets[i + 1] - offsets[i])
    exact, floors = np.zeros(N_BINS, np.int64), np.zeros(N_BINS, np.int64)
    values, counts = np.empty(largest, np.float64), np.empty(largest, np.int64)
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        nx = bbox[i, 1] - bbox[i, 0]
        ny = bbox[i, 3] - bbox[i, 2]
        n_groups = bbox[i, 5] - bbox[i, 4] if per_slice else 1
        step = (last - first) // max(n_groups, 1)
        n_used = 0
        n_foreground = 0
        negative = False
        for k in range(first, last):
            if used[k] != 0:
                n_used += 1
                if not data[k] >= 0.0:
                    negative = True
            if mask[k] & FOREGROUND:
                n_foreground += 1
        if n_used < min_pixels or negative:
            continue
        good = True
        level = 0.0
        variance_of_mean = 0.0
        for g in range(n_groups):
            start = first + g * step
            n = m = 0
            centre[:] = 0.0
            spread[:] = 0.0
            foreground[:] = 0.0
            for k in range(start, start + step):
                x = float((k - start) % nx)
                y = float((k - start) // nx % ny)
                z = float((k - start) // (nx * ny))
                if mask[k] & FOREGROUND:
                    m += 1
                    foreground[1] += x
                    foreground[2] += y
                    foreground[3] += z
                if used[k] != 0:
                    n += 1
                    centre[0] += x
                    centre[1] += y
                    centre[2] += z
                    spread[0] += x * x
                    spread[1] += y * y
                    spread[2] += z * z
            if n < 4:
                good = False
                break
            n_terms = 4
            for j in range(3):
                centre[j] /= n
                spread[j] = math.sqrt(max(spread[j] / n - centre[j] * centre[j], 0.0))
            if spread[2] < 1e-9:
                n_terms = 3
            if spread[0] < 1e-9 or spread[1] < 1e-9:
                good = False
                break
            n, _n_bins, total, median = _collect(data, used, start, start + step, exact, floors, values, counts)
            if total == 0.0:  # not one photon
                for k in range(start, start + step):
                    background[k] = 0.0
                weight = m / n_foreground if n_foreground > 0 else 1.0 / n_groups
                variance_of_mean += weight * weight / (float(n) * n)
                continue
            beta[:] = 0.0
            beta[0] = math.log(median) if median > 0.0 else 0.0
            converged = False
            for iteration in range(MAX_ITERATIONS + 1):
                score[:] = 0.0
                curvature[:, :] = 0.0
                meat[:, :] = 0.0
                sane = True
                for k in range(start, start + step):
                    if used[k] == 0:
                        continue
                    design[0] = 1.0
                    design[1] = ((k - start) % nx - centre[0]) / spread[0]
                    design[2] = ((k - start) // nx % ny - centre[1]) / spread[1]
                    design[3] = ((k - start) // (nx * ny) - centre[2]) / spread[2] if n_terms == 4 else 0.0
                    eta = 0.0
                    for a in range(n_terms):
                        eta += beta[a] * design[a]
                    if not abs(eta) < MAX_ETA:
                        sane = False
                        break
                    mu = math.exp(eta)
                    s = math.sqrt(mu)
                    e1, information, psi_variance = huber_poisson_moments(mu, c)
                    psi = min(max((data[k] - mu) / s, -c), c)
                    for a in range(n_terms):
                        score[a] += (psi - e1) * s * design[a]
                        for b in range(a + 1):
                            curvature[a, b] += information * mu * s * design[a] * design[b]
                            meat[a, b] += psi_variance * mu * design[a] * design[b]
                # Cholesky in place, lower triangle
                for a in range(n_terms):
                    for b in range(a + 1):
                        total = curvature[a, b]
                        for j in range(b):
                            total -= curvature[a, j] * curvature[b, j]
                        if a == b:
                            if not total > 0.0:
                                sane = False
                                total = 1.0
                            curvature[a, a] = math.sqrt(total)
                        else:
                            curvature[a, b] = total / curvature[b, b]
                if not sane:
                    break
                if converged:  # the matrices now belong to the solution
                    break
                solve_cholesky(curvature, score, n_terms)
                change = 0.0
                size = 0.0
                for a in range(n_terms):
                    beta[a] += score[a]
                    change = max(change, abs(score[a]))
                    size = max(size, abs(beta[a]))
                if change < TOLERANCE * size or change < 1e-12:
                    converged = True
                elif iteration == MAX_ITERATIONS - 1:
                    break
            if not converged or not sane:
                good = False
                break
            total = 0.0
            for k in range(start, start + step):
                eta = beta[0]
                eta += beta[1] * ((k - start) % nx - centre[0]) / spread[0]
                eta += beta[2] * ((k - start) // nx % ny - centre[1]) / spread[1]
                if n_terms == 4:
                    eta += beta[3] * ((k - start) // (nx * ny) - centre[2]) / spread[2]
                mu = math.exp(min(eta, 80.0))
                background[k] = mu
                total += mu
            level += total / step / n_groups
            # variance at the middle of the foreground: mu^2 x H^-1 M H^-1 x
            foreground[0] = 1.0
            eta = beta[0]
            for j in range(1, 4):
                foreground[j] = (foreground[j] / m - centre[j - 1]) / spread[j - 1] if m > 0 and j < n_terms else 0.0
                eta += beta[j] * foreground[j]
            solve_cholesky(curvature, foreground, n_terms)
            variance = 0.0
            for a in range(n_terms):
                for b in range(n_terms):
                    variance += foreground[a] * meat[max(a, b), min(a, b)] * foreground[b]
            weight = m / n_foreground if n_foreground > 0 else 1.0 / n_groups
            variance_of_mean += weight * weight * variance * math.exp(2.0 * min(eta, 80.0))
        success[i] = good
        mean[i] = level
        mean_variance[i] = variance_of_mean
