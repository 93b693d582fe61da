"""Cells that are too large by a small integer factor, told by systematically missing indices."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spindle.symmetry import niggli_reduce

#: A part of the spots that has a common divisor this many times more often than by chance has it for a reason; among so many spots.
MORE_THAN_CHANCE, FEWEST = 4.0, 50
#: Indices that are looked at first, and by how much their fraction may fall short before the rest is looked at.
SAMPLE, SAMPLE_MARGIN = 1000, 0.1


def _fraction(hkl: np.ndarray, vector: np.ndarray, modulus: int) -> float:
    total = hkl[:, 0] * vector[0] + hkl[:, 1] * vector[1] + hkl[:, 2] * vector[2]
    return float(np.count_nonzero(total % modulus == 0) / len(hkl))


@lru_cache(maxsize=1)
def conditions() -> tuple[tuple[np.ndarray, int, np.ndarray], ...]:
    """Conditions v . h = 0 modulo m of lattices with empty points: each v (3,) int, m, and rows (3, 3) int that span the indices meeting it."""
    grid = np.array(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij")).reshape(3, -1).T
    norms = np.sum(grid**2, axis=1)
    grid = grid[(norms > 0) & (norms <= 6)]
    grid = grid[np.argsort(np.sum(grid**2, axis=1), kind="stable")]
    vectors: list[np.ndarray] = []
    for v in grid:
        if not any(np.all(np.cross(v, u) == 0) for u in vectors):
            vectors.append(v)
    conditions = []
    for v in vectors:
        for modulus in (2, 3, 5):
            if np.any(v % modulus):
                conditions.append((v, modulus, _three_shortest(v, modulus)))
    return tuple(conditions)


def _three_shortest(vector: np.ndarray, modulus: int) -> np.ndarray:
    """Three short, not coplanar index vectors that satisfy the condition, spanning all that do: determinant = "
    "modulus."""
    grid = np.array(np.meshgrid(*[range(-modulus, modulus + 1)] * 3, indexing="ij")).reshape(3, -1).T
    grid = grid[np.any(grid != 0, axis=1)]
    grid = grid[(grid @ vector) % modulus == 0]
    grid = grid[np.argsort(np.sum(grid**2, axis=1), kind="stable")]
    first = grid[0]
    second = next(v for v in grid if np.any(np.cross(first, v)))
    normal = np.cross(first, second)
    third = next(v for v in grid if abs(normal @ v) == modulus)
    matrix = np.array([first, second, third])
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def remainder_of_all(hkl: np.ndarray, threshold: float) -> tuple[np.ndarray, int, int] | None:
    """A condition by which nearly all indices leave the same remainder, and not 0.

    Then the cell is too large by the modulus, and the indices are off: a beam centre that is wrong by a part of the distance between
    rows of the true lattice is right for a row of this one.

    Parameters
    ----------
    hkl : (n, 3) int
    threshold : float
        Smallest fraction of indices.

    Returns
    -------
    vector : (3,) int
    modulus, remainder : int
        None when there is no such condition.
    """
    if len(hkl) == 0:
        return None
    for vector, modulus, _ in conditions():
        counts = np.bincount((hkl.astype(np.int64) @ vector) % modulus, minlength=modulus)
        if counts[1:].max() > threshold * len(hkl):
            return vector, modulus, int(counts.argmax())
    return None


def common_multiple(hkl: np.ndarray) -> tuple[int, float] | None:
    """A small number by which all three indices of far more spots can be divided than chance lets expect.

    Parameters
    ----------
    hkl : (n, 3) int

    Returns
    -------
    number : int
    share : float
        Part of the spots with such indices. None when there is no such number.
    """
    for number in (3, 2):
        share = float(np.mean(np.all(np.asarray(hkl) % number == 0, axis=1))) if len(hkl) >= FEWEST else 0.0
        if share > MORE_THAN_CHANCE / number**3:
            return number, share
    return None


def smaller_cell(basis: np.ndarray, hkl: np.ndarray, threshold: float) -> np.ndarray | None:
    """The reduced basis of a cell that explains the indices with a smaller volume.

    Parameters
    ----------
    basis : (3, 3) float64, angstrom
        Rows a, b, c.
    hkl : (n, 3) int
        Indices of the spots in that cell.
    threshold : float
        Smallest fraction of indices that must satisfy a condition.

    Returns
    -------
    (3, 3) float64 or None
        None when no condition holds.
    """
    if len(hkl) == 0:
        return None
    indices = np.asarray(hkl, dtype=np.int64)
    sample = indices[:: len(indices) // SAMPLE + 1]
    vectors = np.array([c[0] for c in conditions()])
    moduli = np.array([c[1] for c in conditions()])
    likely = np.mean((sample @ vectors.T) % moduli == 0, axis=0) > threshold - SAMPLE_MARGIN
    for number in np.flatnonzero(likely):
        vector, modulus, matrix = conditions()[number]
        if _fraction(indices, vector, modulus) > threshold:
            # The reciprocal basis becomes the indices of the three vectors: A' = A M^T, so direct' = M^-T direct.
            return np.asarray(niggli_reduce(np.linalg.inv(matrix).T @ basis)[0])
    return None
