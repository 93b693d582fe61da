"""Large symmetric matrices, square by square: numpy's transposes and triangles go through memory again and again."""

from __future__ import annotations

from numba import njit

#: Rows and columns of a square; two of them fit into the cache nearest to the processor.
SQUARE = 32


@njit(nogil=True, cache=True)
def scale_lower(matrix, size, out):
    """Fill the lower triangle of `out` (p, p), diagonal included, with m_ij s_i s_j of a matrix (p, p) and sizes (p,)."""
    p = matrix.shape[0]
    for top in range(0, p, SQUARE):
        bottom = min(top + SQUARE, p)
        for left in range(0, bottom, SQUARE):
            for i in range(top, bottom):
                for j in range(left, min(left + SQUARE, i + 1)):
                    out[i, j] = matrix[i, j] * size[i] * size[j]


@njit(nogil=True, cache=True)
def mirror_lower(half, size, out):
    """Fill all of `out` (p, p) with m_ij s_i s_j of a symmetric matrix of which `half` (p, p) holds the lower triangle."""
    p = half.shape[0]
    for top in range(0, p, SQUARE):
        bottom = min(top + SQUARE, p)
        for left in range(0, bottom, SQUARE):
            for i in range(top, bottom):
                for j in range(left, min(left + SQUARE, i + 1)):
                    out[i, j] = half[i, j] * size[i] * size[j]
                    out[j, i] = half[i, j] * size[j] * size[i]


@njit(nogil=True, cache=True)
def add_halves(matrix):
    """Make a matrix (p, p) symmetric in place: each element off the diagonal becomes the sum of itself and its mirror image."""
    p = matrix.shape[0]
    for top in range(0, p, SQUARE):
        bottom = min(top + SQUARE, p)
        for left in range(0, bottom, SQUARE):
            for i in range(top, bottom):
                for j in range(left, min(left + SQUARE, i)):
                    total = matrix[i, j] + matrix[j, i]
                    matrix[i, j] = total
                    matrix[j, i] = total


@njit(nogil=True, cache=True)
def add_outer(matrix, strength, direction):
    """Add the outer product of a direction (p,) with itself times a strength to a matrix (p, p)."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            matrix[i, j] += strength * (direction[i] * direction[j])
