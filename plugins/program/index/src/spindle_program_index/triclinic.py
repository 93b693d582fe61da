"""Centred cells of triclinic lattices (C -1, I -1, F 1 ...), which nobody needs but mineralogists and structures that are compared."""

from __future__ import annotations

from functools import lru_cache

import gemmi
import numpy as np

from spindle.symmetry import ChangeOfBasis, primitive_operator

#: Signs of axes that leave hand and centring alone.
FLIPS = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
#: Products of lengths that differ by less, relatively, are those of cells that are as good.
SAME = 1e-6


def nearest_to_right_angles(basis: np.ndarray, group: gemmi.SpaceGroup) -> ChangeOfBasis:
    """The centred cell of a triclinic lattice whose angles are nearest to 90 degrees.

    All cells of a centring have the same volume, so that it is the one with the least a b c. As in a reduced cell, angles are all
    acute or none is, and axes that the centring lets change places are ordered by length.

    Parameters
    ----------
    basis : (3, 3) float64, angstrom
        Rows of a Niggli-reduced primitive basis.
    group : gemmi.SpaceGroup
        Triclinic.
    """
    vectors, triples = _cells(group.hall)
    lengths = np.linalg.norm(vectors @ basis, axis=1)[triples]
    product = lengths.prod(axis=1)
    best = np.flatnonzero(product <= product.min() * (1 + SAME))
    first = best[np.lexsort(lengths[best, ::-1].T)[0]]
    matrix = vectors[triples[first]]
    matrix = matrix * np.sign(np.linalg.det(matrix))
    axes = matrix @ basis
    axes /= np.linalg.norm(axes, axis=1)[:, None]
    cosines = np.array([axes[1] @ axes[2], axes[2] @ axes[0], axes[0] @ axes[1]])
    signed = FLIPS * cosines  # flipping two axes flips the angles that either makes with the third
    flip = np.argmax(signed.min(axis=1)) if cosines.prod() > 0 else np.argmin(signed.max(axis=1))
    return ChangeOfBasis(matrix * FLIPS[flip][:, None])


@lru_cache(maxsize=16)
def _cells(hall: str) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors (m, 3), one of each opposite pair, and triples (n, 3) of them that span a cell with the centring of a group."""
    grid = np.array(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij")).reshape(3, -1).T
    vectors = grid[len(grid) // 2 + 1 :]
    triples = np.array(np.meshgrid(*[range(len(vectors))] * 3)).reshape(3, -1).T
    to_primitive = primitive_operator(gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))).matrix
    a, b, c = (vectors[row] for row in triples.T)
    volumes = np.abs(np.sum(a * np.cross(b, c), axis=1))
    triples = triples[volumes == round(1 / abs(np.linalg.det(to_primitive)))]
    points = to_primitive @ vectors[triples]
    return vectors, triples[np.abs(points - np.rint(points)).max(axis=(1, 2)) < 1e-6]
