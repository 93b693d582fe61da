"""Loops over observations sorted by unique reflection: normal equations and outliers of scaling."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def normal_equations(offsets, intensity, weight, scale, columns, slopes, probes, normal, gradient, directions, means):
    """Accumulate the Gauss-Newton equations of scaling with the means of the reflections eliminated.

    Parameters
    ----------
    offsets : (m + 1,) int64
        Run of observations of each unique reflection.
    intensity, weight, scale : (n,) float64
        Unscaled intensities I, weights w, inverse scale factors g.
    columns : (n, k) int32
        Parameters on which each g depends; -1 marks an unused place.
    slopes : (n, k) float64
        Derivatives of ln g with respect to them.
    probes : (n, q) float64
        Coefficients of sums of ln g whose derivatives are wanted.
    normal : (p, p) float64
        Output, added to: the normal matrix.
    gradient : (p,) float64
        Output, added to: the right-hand side.
    directions : (q, p) float64
        Output, added to: derivatives of sum_i probes[i, q] ln g_i.
    means : (m,) float64
        Output: <I> = sum w g I / sum w g^2.

    Returns
    -------
    float
        sum w (I - g <I>)^2.

    Notes
    -----
    For the residual r = I - g <I>, with u = d ln g / dp: a reflection adds <I>^2 [sum w g^2 u u' - v v' / sum w g^2],
    v = sum w g^2 u, to the matrix and <I> sum w g r u to the right-hand side (variable projection: the mean follows g).
    """
    n_places = columns.shape[1]
    n_probes = probes.shape[1]
    n_parameters = normal.shape[0]
    total = np.zeros(n_parameters)
    touched = np.empty(n_parameters, dtype=np.int64)
    seen = np.zeros(n_parameters, dtype=np.bool_)
    chi_square = 0.0
    for j in range(offsets.shape[0] - 1):
        begin, end = offsets[j], offsets[j + 1]
        top = 0.0
        bottom = 0.0
        for i in range(begin, end):
            top += weight[i] * scale[i] * intensity[i]
            bottom += weight[i] * scale[i] * scale[i]
        if bottom <= 0.0:
            means[j] = 0.0
            continue
        mean = top / bottom
        means[j] = mean
        n_touched = 0
        square = mean * mean
        for i in range(begin, end):
            residual = intensity[i] - scale[i] * mean
            chi_square += weight[i] * residual * residual
            if end - begin < 2:
                continue
            importance = weight[i] * scale[i] * scale[i]
            push = weight[i] * scale[i] * residual * mean
            for a in range(n_places):
                p = columns[i, a]
                if p < 0:
                    continue
                ua = slopes[i, a]
                for c in range(n_probes):
                    directions[c, p] += probes[i, c] * ua
                if not seen[p]:
                    seen[p] = True
                    touched[n_touched] = p
                    n_touched += 1
                total[p] += importance * ua
                gradient[p] += push * ua
                factor = importance * square * ua
                for b in range(a, n_places):
                    q = columns[i, b]
                    if q >= 0:
                        normal[p, q] += factor * slopes[i, b]
        factor = square / bottom
        for a in range(n_touched):
            p = touched[a]
            tp = total[p] * factor
            for b in range(a, n_touched):
                q = touched[b]
                normal[p, q] -= tp * total[q]
        for a in range(n_touched):
            total[touched[a]] = 0.0
            seen[touched[a]] = False
    return chi_square


@njit(nogil=True, cache=True)
def chi_square_of(offsets, intensity, weight, scale, means):
    """sum w (I - g <I>)^2 and the means <I> (m,) of given scales; arguments as in `normal_equations`."""
    chi_square = 0.0
    for j in range(offsets.shape[0] - 1):
        begin, end = offsets[j], offsets[j + 1]
        top = 0.0
        bottom = 0.0
        for i in range(begin, end):
            top += weight[i] * scale[i] * intensity[i]
            bottom += weight[i] * scale[i] * scale[i]
        mean = top / bottom if bottom > 0.0 else 0.0
        means[j] = mean
        for i in range(begin, end):
            residual = intensity[i] - scale[i] * mean
            chi_square += weight[i] * residual * residual
    return chi_square


@njit(nogil=True, cache=True)
def expect_intensities(
    order, offsets, first, last, intensity, variance, scale, outlier, more_top, more_bottom, others_only, out
):  # fmt: skip
    """Intensities that the equivalents of observations let expect.

    Parameters
    ----------
    order : (n,) int64
        Observations, those of one reflection next to each other.
    offsets : (m + 1,) int64
    first, last : int
        The reflections that are looked at, half open.
    intensity, variance, scale : (n,) float64
        Unscaled I, their variances, inverse scale factors g, in the order of the observations.
    outlier : (n,) bool
        They tell nothing.
    more_top, more_bottom : (m,) or (0,) float64
        Added to sum w g I and sum w g^2.
    others_only : bool
        Leave out the observation itself.
    out : (n,) float64
        Output: g sum w g I / sum w g^2; where that is 0 / 0 the intensity, or NaN with others_only.
    """
    has_more = more_top.shape[0] > 0
    for j in range(first, last):
        top = 0.0
        bottom = 0.0
        for i in range(offsets[j], offsets[j + 1]):
            k = order[i]
            if not outlier[k]:
                weight = 1.0 / max(variance[k], 1e-30)
                top += weight * scale[k] * intensity[k]
                bottom += weight * (scale[k] * scale[k])
        if has_more:
            top += more_top[j]
            bottom += more_bottom[j]
        for i in range(offsets[j], offsets[j + 1]):
            k = order[i]
            if others_only:
                rest, rest_top, own = bottom, top, 0.0
                if not outlier[k]:
                    weight = 1.0 / max(variance[k], 1e-30)
                    own = weight * (scale[k] * scale[k])
                    rest = bottom - own
                    rest_top = top - weight * scale[k] * intensity[k]
                out[k] = scale[k] * (rest_top / rest) if rest > 1e-12 * max(own, 1e-300) else np.nan
            else:
                out[k] = scale[k] * (top / bottom) if bottom > 0.0 else intensity[k]


@njit(nogil=True, cache=True)
def reject_outliers(offsets, intensity, weight, scale, z_max, leave_one_out, rejected):
    """Mark observations that disagree with their equivalents.

    Parameters
    ----------
    offsets : (m + 1,) int64
    intensity, weight, scale : (n,) float64, sorted by reflection
        Unscaled I, weights 1 / sigma^2, inverse scale factors g.
    z_max : float
        Limit of the normalised deviation.
    leave_one_out : bool
        True: compare each with the mean of the others, reject the worst, repeat; needs more than two observations.
        False: compare with the mean of all, in one pass.
    rejected : (n,) bool
        Output.

    Notes
    -----
    A weight counts at most ten times the median of its group, so that one confident wrong observation cannot rule.
    """
    longest = 0
    for j in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[j + 1] - offsets[j])
    capped = np.empty(longest)
    ranked = np.empty(longest)
    for j in range(offsets.shape[0] - 1):
        begin, end = offsets[j], offsets[j + 1]
        n = end - begin
        if n < 2:
            continue
        for i in range(n):  # the median by insertion: groups are small
            value = weight[begin + i]
            k = i
            while k > 0 and ranked[k - 1] > value:
                ranked[k] = ranked[k - 1]
                k -= 1
            ranked[k] = value
        limit = 5.0 * (ranked[n // 2] + ranked[(n - 1) // 2])
        for i in range(n):
            capped[i] = min(weight[begin + i], limit)
        left = n
        while left > (2 if leave_one_out else 1):
            top = 0.0
            bottom = 0.0
            for i in range(n):
                if not rejected[begin + i]:
                    g = scale[begin + i]
                    top += capped[i] * g * intensity[begin + i]
                    bottom += capped[i] * g * g
            worst = -1
            largest = z_max
            for i in range(n):
                if rejected[begin + i]:
                    continue
                g = scale[begin + i]
                if leave_one_out:
                    rest = bottom - capped[i] * g * g
                    rest_top = top - capped[i] * g * intensity[begin + i]
                else:
                    rest = bottom
                    rest_top = top
                if rest <= 0.0:
                    z = np.inf
                else:
                    z = abs(intensity[begin + i] - g * rest_top / rest) / np.sqrt(1.0 / capped[i] + g * g / rest)
                if not leave_one_out:
                    rejected[begin + i] = z > z_max
                elif z > largest:
                    largest = z
                    worst = i
            if not leave_one_out or worst < 0:
                break
            rejected[begin + worst] = True
            left -= 1


@njit(nogil=True, cache=True)
def invert_positive(matrix, inverse):
    """Invert a symmetric positive definite matrix by its Cholesky factor.

    Parameters
    ----------
    matrix : (p, p) float64
        Destroyed: its lower triangle becomes the factor.
    inverse : (p, p) float64
        Output.

    Returns
    -------
    bool
        False if the matrix is not positive definite.
    """
    p = matrix.shape[0]
    for j in range(p):
        for k in range(j):
            factor = matrix[j, k]
            if factor != 0.0:
                for i in range(j, p):  # column j of the factor, kept as row j of the upper triangle
                    matrix[j, i] -= factor * matrix[k, i]
        pivot = matrix[j, j]
        if not pivot > 0.0:
            return False
        root = np.sqrt(pivot)
        for i in range(j, p):
            matrix[j, i] /= root
            matrix[i, j] = matrix[j, i]
    # rows of L^-1, transposed: inverse[k, i] = (L^-1)[i, k] for i >= k
    for i in range(p):
        for k in range(i + 1):
            inverse[i, k] = 0.0
        inverse[i, i] = 1.0
        for j in range(i):
            factor = matrix[i, j]
            if factor != 0.0:
                for k in range(j + 1):
                    inverse[i, k] -= factor * inverse[j, k]
        for k in range(i + 1):
            inverse[i, k] /= matrix[i, i]
    # matrix <- L^-T L^-1
    for i in range(p):
        for k in range(p):
            matrix[i, k] = 0.0
    for i in range(p):
        for j in range(i + 1):
            factor = inverse[i, j]
            if factor != 0.0:
                for k in range(j + 1):
                    matrix[j, k] += factor * inverse[i, k]
    for i in range(p):
        for k in range(i + 1):
            inverse[i, k] = matrix[i, k]
            inverse[k, i] = matrix[i, k]
    return True


@njit(nogil=True, cache=True)
def quadratic_forms(columns, slopes, matrix, out):
    """u' M u of sparse rows u: `slopes` (n, k) at `columns` (n, k) int32, -1 for none; M (p, p) symmetric; out (n,)."""
    k = columns.shape[1]
    for i in range(columns.shape[0]):
        total = 0.0
        for a in range(k):
            p = columns[i, a]
            if p < 0:
                continue
            total += slopes[i, a] * slopes[i, a] * matrix[p, p]
            for b in range(a + 1, k):
                q = columns[i, b]
                if q >= 0:
                    total += 2.0 * slopes[i, a] * slopes[i, b] * matrix[p, q]
        out[i] = total
