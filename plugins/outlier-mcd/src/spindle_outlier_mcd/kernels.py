"""Kernel of the fast minimum covariance determinant: concentration steps."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def concentrate(data, starts, from_points, h, n_steps, means, covariances, determinants):
    """Concentration steps from several starts.

    Each step takes the `h` rows with the smallest Mahalanobis distances and their mean and covariance. The determinant
    of the covariance
    never grows (Rousseeuw & van Driessen 1999, theorem 1).

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
    distances = np.empty(n)
    L = np.zeros((p, p))
    y = np.zeros(p)
    mean = np.zeros(p)
    cov = np.zeros((p, p))
    for m in range(means.shape[0]):
        if from_points:
            taken = p + 1
            found = False
            while taken <= starts.shape[1] and not found:
                for a in range(p):
                    mean[a] = 0.0
                    for b in range(p):
                        cov[a, b] = 0.0
                for i in range(taken):
                    for a in range(p):
                        mean[a] += data[starts[m, i], a]
                for a in range(p):
                    mean[a] /= taken
                for i in range(taken):
                    for a in range(p):
                        for b in range(p):
                            cov[a, b] += (
                                (data[starts[m, i], a] - mean[a]) * (data[starts[m, i], b] - mean[b]) / (taken - 1)
                            )
                found = True
                for a in range(p):
                    for b in range(a + 1):
                        value = cov[a, b]
                        for c in range(b):
                            value -= L[a, c] * L[b, c]
                        if a == b:
                            if value <= 1e-12 * cov[a, a] or value <= 0.0:
                                found = False
                                value = 1.0
                            L[a, a] = math.sqrt(value)
                        else:
                            L[a, b] = value / L[b, b]
                taken += 1
            if not found:
                determinants[m] = np.inf
                continue
            previous = np.inf
        else:
            for a in range(p):
                mean[a] = means[m, a]
                for b in range(p):
                    cov[a, b] = covariances[m, a, b]
            previous = determinants[m]
        for _ in range(n_steps):
            singular = False
            for a in range(p):
                for b in range(a + 1):
                    value = cov[a, b]
                    for c in range(b):
                        value -= L[a, c] * L[b, c]
                    if a == b:
                        if value <= 0.0:
                            singular = True
                            value = 1.0
                        L[a, a] = math.sqrt(value)
                    else:
                        L[a, b] = value / L[b, b]
            if singular:
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
            limit = np.partition(distances, h - 1)[h - 1]
            for a in range(p):
                mean[a] = 0.0
                for b in range(p):
                    cov[a, b] = 0.0
            count = 0
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
            determinant = 1.0
            for a in range(p):
                for b in range(a + 1):
                    cov[a, b] /= count - 1
                    cov[b, a] = cov[a, b]
            for a in range(p):
                for b in range(a + 1):
                    value = cov[a, b]
                    for c in range(b):
                        value -= L[a, c] * L[b, c]
                    if a == b:
                        value = max(value, 0.0)
                        determinant *= value
                        L[a, a] = math.sqrt(value) if value > 0.0 else 1.0
                    else:
                        L[a, b] = value / L[b, b]
            if determinant >= previous * (1.0 - 1e-12):
                previous = min(determinant, previous)
                break
            previous = determinant
            if determinant <= 0.0:
                break
        for a in range(p):
            means[m, a] = mean[a]
            for b in range(p):
                covariances[m, a, b] = cov[a, b]
        determinants[m] = previous
