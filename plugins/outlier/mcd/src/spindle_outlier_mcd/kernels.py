"""Kernel of the fast minimum covariance determinant: concentration steps."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _factorise(cov, L):
    """Lower Cholesky factor L of cov; returns the determinant, 0 where it is singular."""
    p = cov.shape[0]
    determinant = 1.0
    for a in range(p):
        for b in range(a + 1):
            value = cov[a, b]
            for c in range(b):
                value -= L[a, c] * L[b, c]
            if a == b:
                if value <= 1e-12 * cov[a, a]:
                    return 0.0
                determinant *= value
                L[a, a] = math.sqrt(value)
            else:
                L[a, b] = value / L[b, b]
    return determinant


@njit(nogil=True, cache=True)
def _smallest(values, scratch, k):
    """The k-th smallest (from 0) of values, by Hoare's selection in `scratch`."""
    low, high = 0, values.shape[0] - 1
    for i in range(values.shape[0]):
        scratch[i] = values[i]
    while low < high:
        pivot = scratch[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while scratch[i] < pivot:
                i += 1
            while scratch[j] > pivot:
                j -= 1
            if i <= j:
                scratch[i], scratch[j] = scratch[j], scratch[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return scratch[k]


@njit(nogil=True, cache=True)
def _moments(data, distances, limit, mean, cov):
    """Mean and covariance of the rows with distances up to the limit."""
    n, p = data.shape
    count = 0
    for a in range(p):
        mean[a] = 0.0
        for b in range(p):
            cov[a, b] = 0.0
    for i in range(n):
        if distances[i] <= limit:
            count += 1
            for a in range(p):
                mean[a] += data[i, a]
    for a in range(p):
        mean[a] /= count
    for i in range(n):
        if distances[i] <= limit:
            for a in range(p):
                for b in range(a + 1):
                    cov[a, b] += (data[i, a] - mean[a]) * (data[i, b] - mean[b])
    for a in range(p):
        for b in range(a + 1):
            cov[a, b] /= count - 1
            cov[b, a] = cov[a, b]


@njit(nogil=True, cache=True)
def concentrate(data, starts, from_points, h, n_steps, means, covariances, determinants):
    """Concentration steps from several starts.

    Each step takes the `h` rows with the smallest Mahalanobis distances and their mean and covariance. The determinant
    of the covariance never grows (Rousseeuw & van Driessen 1999, theorem 1).

    Parameters
    ----------
    data : (n, p) float64
    starts : (m, n_start) int64
        With `from_points`: random orders of rows; the first p + 1 start, more are taken until their covariance is not
        singular.
    from_points : bool
        False starts from `means` and `covariances` as given.
    h : int
    n_steps : int
        Steps at most; it stops when the determinant no longer falls.
    means : (m, p), covariances : (m, p, p), determinants : (m,) float64, in and out
        The determinant is infinite where no start was found.
    """
    n, p = data.shape
    distances = np.zeros(n)
    scratch = np.zeros(n)
    L = np.zeros((p, p))
    y = np.zeros(p)
    for m in range(means.shape[0]):
        mean, cov = means[m], covariances[m]
        previous = determinants[m]
        if from_points:
            previous = np.inf
            found = 0.0
            taken = p + 1
            while taken <= starts.shape[1] and found <= 0.0:
                for i in range(n):
                    distances[i] = 1.0
                for i in range(taken):
                    distances[starts[m, i]] = 0.0
                _moments(data, distances, 0.0, mean, cov)
                found = _factorise(cov, L)
                taken += 1
            if found <= 0.0:
                determinants[m] = np.inf
                continue
        for _ in range(n_steps):
            if _factorise(cov, L) <= 0.0:
                previous = 0.0
                break
            for i in range(n):
                total = 0.0
                for a in range(p):
                    value = data[i, a] - mean[a]
                    for c in range(a):
                        value -= L[a, c] * y[c]
                    y[a] = value / L[a, a]
                    total += y[a] * y[a]
                distances[i] = total
            _moments(data, distances, _smallest(distances, scratch, h - 1), mean, cov)
            determinant = _factorise(cov, L)
            settled = determinant >= previous * (1.0 - 1e-12)
            previous = min(determinant, previous)
            if settled or determinant <= 0.0:
                break
        determinants[m] = previous
