"""Sets of directions."""

from __future__ import annotations

import numpy as np


def hemisphere(step: float) -> np.ndarray:
    """Directions about `step` radians apart over the hemisphere z >= 0, (n, 3)."""
    n_rows = max(round(np.pi / 2 / step), 1)
    rows = []
    for row in range(n_rows + 1):
        polar = row * np.pi / 2 / n_rows
        n = max(1, round(2 * np.pi * np.sin(polar) / step))
        azimuth = np.arange(n) * 2 * np.pi / n
        x, y = np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)
        rows.append(np.column_stack([x, y, np.full(n, np.cos(polar))]))
    return np.concatenate(rows)


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
