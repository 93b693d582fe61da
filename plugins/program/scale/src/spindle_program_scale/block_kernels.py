"""Loops for normal matrices of which only the blocks on the diagonal are kept; arguments as in `kernels.normal_equations`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def block_equations(
    offsets, intensity, weight, scale, columns, slopes, probes, of, edges, begin, values, gradient, directions, means
):  # fmt: skip
    """Accumulate the equations of scaling, of the normal matrix the blocks.

    Parameters
    ----------
    offsets, intensity, weight, scale, columns, slopes, probes
        As in `kernels.normal_equations`.
    of : (p,) int64
        Block of each parameter.
    edges : (m + 1,) int64
        First parameter of each block.
    begin : (m + 1,) int64
        Where the elements of each block begin, row by row.
    values : (k,) float64
        Output, added to: the blocks, both halves.
    gradient, directions : (p,), (q, p) float64
        Output, added to.
    means : (m,) float64
        Output.

    Returns
    -------
    float
        sum w (I - g <I>)^2.
    """
    n_places = columns.shape[1]
    n_probes = probes.shape[1]
    total = np.zeros(of.shape[0])
    seen = np.zeros(of.shape[0], dtype=np.bool_)
    following = np.empty(of.shape[0], dtype=np.int64)
    first = np.full(edges.shape[0] - 1, -1, dtype=np.int64)  # of the parameters that a reflection touches in each block
    touched = np.empty(edges.shape[0] - 1, dtype=np.int64)
    chi_square = 0.0
    for j in range(offsets.shape[0] - 1):
        start, end = offsets[j], offsets[j + 1]
        top = 0.0
        bottom = 0.0
        for i in range(start, end):
            top += weight[i] * scale[i] * intensity[i]
            bottom += weight[i] * scale[i] * scale[i]
        if bottom <= 0.0:
            means[j] = 0.0
            continue
        mean = top / bottom
        means[j] = mean
        square = mean * mean
        n_touched = 0
        for i in range(start, end):
            residual = intensity[i] - scale[i] * mean
            chi_square += weight[i] * residual * residual
            if end - start < 2:
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
                k = of[p]
                if not seen[p]:
                    seen[p] = True
                    if first[k] < 0:
                        touched[n_touched] = k
                        n_touched += 1
                    following[p] = first[k]
                    first[k] = p
                total[p] += importance * ua
                gradient[p] += push * ua
                factor = importance * square * ua
                row = begin[k] + (p - edges[k]) * (edges[k + 1] - edges[k]) - edges[k]
                for b in range(n_places):
                    q = columns[i, b]
                    if q >= 0 and of[q] == k:
                        values[row + q] += factor * slopes[i, b]
        factor = square / bottom
        for t in range(n_touched):
            k = touched[t]
            p = first[k]
            while p >= 0:
                row = begin[k] + (p - edges[k]) * (edges[k + 1] - edges[k]) - edges[k]
                q = first[k]
                while q >= 0:
                    values[row + q] -= factor * total[p] * total[q]
                    q = following[q]
                p = following[p]
            p = first[k]
            while p >= 0:
                total[p] = 0.0
                seen[p] = False
                p = following[p]
            first[k] = -1
    return chi_square


@njit(nogil=True, cache=True)
def normal_times(offsets, weight, scale, means, columns, slopes, x, out):
    """Add the product of the whole normal matrix with a vector.

    Parameters
    ----------
    offsets, weight, scale, columns, slopes
        As in `kernels.normal_equations`.
    means : (m,) float64
        <I> of each reflection.
    x : (p,) float64
    out : (p,) float64
        Output, added to.

    Notes
    -----
    With y = u' x of each observation and its mean y_j = sum w g^2 y / sum w g^2 over a reflection, the product is
    sum <I>^2 w g^2 (y - y_j) u.
    """
    n_places = columns.shape[1]
    longest = 0
    for j in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[j + 1] - offsets[j])
    y = np.empty(longest)
    for j in range(offsets.shape[0] - 1):
        start, end = offsets[j], offsets[j + 1]
        if end - start < 2:
            continue
        top = 0.0
        bottom = 0.0
        for i in range(start, end):
            sum_ = 0.0
            for a in range(n_places):
                if columns[i, a] >= 0:
                    sum_ += slopes[i, a] * x[columns[i, a]]
            importance = weight[i] * scale[i] * scale[i]
            y[i - start] = sum_
            top += importance * sum_
            bottom += importance
        if bottom <= 0.0:
            continue
        mean = top / bottom
        square = means[j] * means[j]
        for i in range(start, end):
            factor = square * weight[i] * scale[i] * scale[i] * (y[i - start] - mean)
            for a in range(n_places):
                if columns[i, a] >= 0:
                    out[columns[i, a]] += factor * slopes[i, a]


@njit(nogil=True, cache=True)
def quadratic_forms_of_blocks(columns, slopes, of, edges, begin, values, out):
    """u' M u of sparse rows u, as `kernels.quadratic_forms`, of a symmetric matrix that is 0 outside its blocks."""
    n_places = columns.shape[1]
    for i in range(columns.shape[0]):
        total = 0.0
        for a in range(n_places):
            p = columns[i, a]
            if p < 0:
                continue
            k = of[p]
            row = begin[k] + (p - edges[k]) * (edges[k + 1] - edges[k]) - edges[k]
            for b in range(n_places):
                q = columns[i, b]
                if q >= 0 and of[q] == k:
                    total += slopes[i, a] * slopes[i, b] * values[row + q]
        out[i] = total


@njit(nogil=True, cache=True)
def blocks_times(edges, begin, values, x, out):
    """Product of a matrix of square blocks on its diagonal with a vector.

    Parameters
    ----------
    edges, begin, values
        As those of `normal_matrices.Blocks`.
    x : (p,) float64
    out : (p,) float64
        Output.
    """
    for k in range(edges.shape[0] - 1):
        first = edges[k]
        size = edges[k + 1] - first
        at = begin[k]
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += values[at + j] * x[first + j]
            out[first + i] = total
            at += size
