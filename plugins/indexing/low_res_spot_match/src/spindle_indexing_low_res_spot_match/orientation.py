"""Rotations that take lattice points to spots."""

from __future__ import annotations

import numpy as np

from .matches import Matches

#: A spot has an index when it is this near to a lattice point, in indices; and how many spots each round of improvement adds.
NEAR, FACTOR, FIRST = 0.3, 2, 12


def superpose(matches: Matches) -> np.ndarray:
    """Rotations (k, 3, 3) that bring the lattice points of each set nearest to its spots, the origin fixed (Kabsch 1976)."""
    return rotations(np.einsum("kmi,kmj->kij", matches.rlp, matches.point))


def rotations(product: np.ndarray) -> np.ndarray:
    """The proper rotations (k, 3, 3) nearest to the sums of products of targets and points (k, 3, 3)."""
    if len(product) == 0:
        return np.zeros((0, 3, 3))
    left, _, right = np.linalg.svd(product)
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(left @ right)


def bootstrap(turns: np.ndarray, reciprocal: np.ndarray, rlp: np.ndarray) -> np.ndarray:
    """Each rotation again from the spots that it gives an index, with more and more of them.

    Parameters
    ----------
    turns : (k, 3, 3) float64
    reciprocal : (3, 3) float64, 1/angstrom
        Columns a*, b*, c* in the frame of the crystal.
    rlp : (n, 3) float64, 1/angstrom
        Spots, those of lowest resolution first.
    """
    n = min(FIRST, len(rlp))
    while len(turns) and n:
        spots = rlp[:n]
        index = np.einsum("kij,nj->kni", np.linalg.inv(turns @ reciprocal), spots)
        whole = np.rint(index)
        near = (np.sum((index - whole) ** 2, axis=2) < NEAR**2) & np.any(whole != 0, axis=2)
        product = np.einsum("kn,ni,knj->kij", near.astype(np.float64), spots, whole @ reciprocal.T)
        enough = np.count_nonzero(near, axis=1) >= 2
        turns = np.where(enough[:, None, None], rotations(product), turns)
        if n == len(rlp):
            break
        n = min(FACTOR * n, len(rlp))
    return turns
