"""Orientations of a split crystal: the lattice that is known, turned by a few degrees."""

from __future__ import annotations

import numpy as np

from .spot_frames import SpotFrames

#: Spots of lowest resolution that are looked at, pairs of them that propose a rotation, and rotations that are returned.
N_SPOTS, N_PAIRS, N_BEST = 500, 2000, 3
#: A spot agrees with a rotation within this part of an index.
NEAR = 0.15
#: Larger rotations are left to the search for lattices of their own, degrees.
MOST_DEG = 6.0


def turned_copies(frames: SpotFrames, A: np.ndarray) -> list[np.ndarray]:
    """Rotations of a lattice that most spots of low resolution agree with.

    Parameters
    ----------
    frames : SpotFrames
        Spots that do not belong to the lattice as it is.
    A : (3, 3) float64, 1/angstrom
        Of a primitive basis.

    Returns
    -------
    list of (3, 3) float64, 1/angstrom
        The best first; none alike.

    Notes
    -----
    A small rotation vector w moves a point r by w x r, so that two spots with their shifts from the nearest points give w by least
    squares: w = M^-1 sum r_i x s_i, M = sum |r_i|^2 - r_i r_i^T. Spots whose nearest point is another one give rotations that nobody shares.
    """
    from scipy.spatial.transform import Rotation

    order = np.argsort(np.linalg.norm(frames.rlp, axis=1))[:N_SPOTS]
    r = frames.rlp[order]
    if len(r) < 2:
        return []
    inverse = np.linalg.inv(A)
    points = np.rint(r @ inverse.T) @ A.T
    one, two = np.random.default_rng(42).integers(len(r), size=(2, N_PAIRS))
    torque = np.cross(points, r - points)
    square = _square(points)
    matrix, vector = square[one] + square[two], torque[one] + torque[two]
    size = np.trace(matrix, axis1=1, axis2=2)
    good = np.linalg.det(matrix) > 1e-3 * size**3
    turns = np.linalg.solve(matrix[good], vector[good][..., None])[..., 0]
    turns = turns[np.linalg.norm(turns, axis=1) < np.radians(MOST_DEG)]
    if not len(turns):
        return []
    matrices = Rotation.from_rotvec(turns).as_matrix()
    agree = np.zeros(len(turns))
    for block in np.array_split(np.arange(len(turns)), max(len(turns) // 100, 1)):
        h = np.einsum("ij,mkj,nk->mni", inverse, np.swapaxes(matrices[block], 1, 2), r, optimize=True)
        agree[block] = np.sum(np.abs(h - np.rint(h)).max(axis=2) < NEAR, axis=1)
    found: list[int] = []
    alike = 2 * NEAR / np.linalg.norm(inverse, axis=1).max() / np.linalg.norm(r, axis=1).max()
    for i in np.argsort(-agree, kind="stable"):
        if all(np.linalg.norm(turns[i] - turns[j]) > alike for j in found):
            found.append(int(i))
        if len(found) == N_BEST:
            break
    return [_fitted(r, matrices[i] @ A) for i in found]


def _fitted(r: np.ndarray, A: np.ndarray) -> np.ndarray:
    """The lattice turned a little to fit the spots that agree."""
    from scipy.spatial.transform import Rotation

    for _ in range(3):
        h = r @ np.linalg.inv(A).T
        good = np.abs(h - np.rint(h)).max(axis=1) < NEAR
        points = np.rint(h[good]) @ A.T
        matrix, vector = _square(points).sum(axis=0), np.cross(points, r[good] - points).sum(axis=0)
        if not np.linalg.det(matrix) > 1e-6 * np.trace(matrix) ** 3:
            break
        A = Rotation.from_rotvec(np.linalg.solve(matrix, vector)).as_matrix() @ A
    return A


def _square(points: np.ndarray) -> np.ndarray:
    """(n, 3, 3): |r|^2 - r r^T of points r."""
    return np.asarray(np.sum(points**2, axis=1)[:, None, None] * np.eye(3) - points[:, :, None] * points[:, None, :])
