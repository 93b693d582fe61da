"""Sets of directions."""

from __future__ import annotations

import numpy as np


def separated(directions: np.ndarray, angle: float, limit: int) -> list[int]:
    """Rows of the first `limit` directions that are farther than `angle` (radians) from all earlier ones, mod 180 deg."""
    smallest = np.cos(angle)
    kept: list[int] = []
    free = np.ones(len(directions), dtype=bool)
    while len(kept) < limit and free.any():
        best = int(np.argmax(free))
        kept.append(best)
        free &= np.abs(directions @ directions[best]) < smallest
        free[best] = False
    return kept


def local_grid(directions: np.ndarray, step: float) -> np.ndarray:
    """The eight neighbours of each direction (m, 3) at `step` radians along two axes across it, (m, 8, 3)."""
    helper = np.where(np.abs(directions[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(directions, helper)
    first /= np.linalg.norm(first, axis=1)[:, None]
    second = np.cross(directions, first)
    moves = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    near = np.stack([directions + step * (i * first + j * second) for i, j in moves], axis=1)
    return np.asarray(near / np.linalg.norm(near, axis=2)[..., None])
