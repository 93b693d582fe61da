"""Orientations, and rotations as three turns about given axes."""

from __future__ import annotations

import numpy as np

__all__ = ["orientations", "three_turns"]


def orientations(A: np.ndarray) -> np.ndarray:
    """(n, 3, 3) float64: U of orientation matrices A = U B (n, 3, 3), B lower triangular with positive diagonal.

    The rows of A^-1 are a, b, c; with the Cholesky factor L of their metric they are L U^T.
    """
    real_space = np.linalg.inv(A)
    lower = np.linalg.cholesky(real_space @ np.swapaxes(real_space, -1, -2))
    return np.asarray(A @ lower)


def three_turns(Q: np.ndarray, e1: np.ndarray, e2: np.ndarray, e3: np.ndarray) -> np.ndarray:
    """Angles of turns about three axes that make up rotations: Q = R(e3, phi3) R(e2, phi2) R(e1, phi1).

    Parameters
    ----------
    Q : (n, 3, 3) float64
    e1, e2, e3 : (3,) float64
        Unit vectors.

    Returns
    -------
    (n, 3) float64, radians
        phi1, phi2, phi3. Of the two solutions the one with the smaller turn about e2. Not a number where the axes cannot make the
        rotation.

    Raises
    ------
    ValueError
        If e2 is parallel to e1 or e3.

    Notes
    -----
    e3.Q e1 = e3.R(e2, phi2) e1 is a cosine of phi2; then phi1 takes Q^T e3 to R2^T e3, and phi3 takes R2 e1 to Q e1. Diamond (1990),
    Proceedings of the Royal Society A428, 451-472.
    """
    constant = (e2 @ e1) * (e3 @ e2)
    along, across = e3 @ e1 - constant, e3 @ np.cross(e2, e1)
    amplitude = float(np.hypot(along, across))
    if amplitude < 1e-6:
        raise ValueError("the second axis is parallel to the first or to the third")
    ratio = (np.einsum("i,nij,j->n", e3, Q, e1) - constant) / amplitude
    with np.errstate(invalid="ignore"):
        half = np.arccos(np.where(np.abs(ratio) < 1 + 1e-9, np.clip(ratio, -1, 1), np.nan))
    centre = np.arctan2(across, along)
    both = np.stack([centre + half, centre - half])
    both = np.arctan2(np.sin(both), np.cos(both))
    phi2 = np.where(np.abs(both[0]) < np.abs(both[1]), both[0], both[1])
    middle = _turned(e1, e2, phi2)  # R2 e1
    back = _turned(e3, e2, -phi2)  # R2^T e3
    phi3 = _angle(middle, Q @ e1, e3)
    phi1 = _angle(np.swapaxes(Q, -1, -2) @ e3, back, e1)
    return np.stack([phi1, phi2, phi3], axis=1)


def _turned(v: np.ndarray, axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(n, 3): a vector turned about an axis by angles (n,)."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.asarray(v * c + np.cross(axis, v) * s + axis * (axis @ v) * (1 - c))


def _angle(a: np.ndarray, b: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """(n,) radians: turns about an axis that take vectors a (n, 3) to b (n, 3)."""
    sine = np.cross(a, b) @ axis
    cosine = np.einsum("ni,ni->n", a, b) - (a @ axis) * (b @ axis)
    return np.asarray(np.arctan2(sine, cosine))
