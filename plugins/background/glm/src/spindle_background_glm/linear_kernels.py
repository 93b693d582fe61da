"""Small systems of linear equations inside other kernels."""

from __future__ import annotations

import numba

__all__ = ["solve_cholesky"]


@numba.njit(nogil=True, cache=True)
def solve_cholesky(lower, vector, n):
    """Solve L L^T x = vector in place, L the lower triangle of the first n rows and columns."""
    for a in range(n):
        total = vector[a]
        for j in range(a):
            total -= lower[a, j] * vector[j]
        vector[a] = total / lower[a, a]
    for a in range(n - 1, -1, -1):
        total = vector[a]
        for j in range(a + 1, n):
            total -= lower[j, a] * vector[j]
        vector[a] = total / lower[a, a]
