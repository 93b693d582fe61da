"""Angles between the orientations of two lattices, whatever bases describe them."""

from __future__ import annotations

import numpy as np

from spindle.models import Crystal
from spindle.symmetry import lattice_group, niggli_reduce, primitive_operator


def misorientation_deg(first: np.ndarray, second: np.ndarray, max_delta: float = 5.0) -> float:
    """Smallest rotation that takes one lattice to the other, over the symmetry of the lattice.

    Parameters
    ----------
    first, second : (3, 3) float64, angstrom
        Primitive bases, rows a, b, c, in one frame.
    max_delta
        Tolerance of the lattice symmetry, degrees.

    Returns
    -------
    float, degrees
        180 if the cells differ (by more than 10 % in volume).
    """
    one, two = niggli_reduce(first)[0], niggli_reduce(second)[0]
    ratio = np.linalg.det(one) / np.linalg.det(two)
    if not 0.9 < ratio < 1.1:
        return 180.0
    smallest = 180.0
    for rotation in lattice_group(two, max_delta):
        # rotated basis vectors a_i' = sum_j R_ji a_j are an equivalent description of the second lattice
        equivalent = rotation.T @ two
        change = np.linalg.solve(one, equivalent).T  # equivalent^T = change one^T
        left, _, right = np.linalg.svd(change)
        turn = left @ right
        if np.linalg.norm(change - turn) > 0.2:
            continue
        cosine = (np.trace(turn) - 1) / 2
        smallest = min(smallest, float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))))
    return smallest


def primitive_basis(crystal: Crystal) -> np.ndarray:
    """(3, 3) float64, angstrom: rows of a primitive basis of a crystal."""
    return np.asarray(primitive_operator(crystal.space_group).matrix @ crystal.real_space)
