"""Lattice vectors, made better."""

from __future__ import annotations

import numpy as np


def optimise_vectors(vectors: np.ndarray, rlp: np.ndarray, n_steps: int = 10) -> np.ndarray:
    """Vectors that maximise the sum of cos(2 pi r . v) near the given ones, by damped Newton steps.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
    rlp : (n, 3) float64, 1/angstrom
    """
    best = np.array(vectors, dtype=float)
    points = rlp if len(rlp) <= 5000 else rlp[:: len(rlp) // 5000 + 1]

    def score(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.cos(2 * np.pi * (v @ points.T)).sum(axis=1))

    value = score(best)
    for _ in range(n_steps):
        phase = 2 * np.pi * (best @ points.T)
        gradient = -2 * np.pi * (np.sin(phase) @ points)
        curvature = 4 * np.pi**2 * np.einsum("mn,ni,nj->mij", np.cos(phase), points, points)
        damping = 0.1 * np.trace(curvature, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        trial = (
            best
            + np.linalg.solve(
                np.maximum(curvature, 0) * np.eye(3) + np.abs(damping) + 1e-9 * np.eye(3), gradient[..., None]
            )[..., 0]
        )
        improved = score(trial) > value
        best[improved] = trial[improved]
        value = score(best)
        if not improved.any():
            break
    return best
