"""Rotations of vectors."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def rotate_about(vectors, axis, angles):
    """Rotate each vector (n, 3) about a common unit axis (3,) by its own angle (n,), radians; returns (n, 3)."""
    out = np.empty_like(vectors)
    ax, ay, az = axis[0], axis[1], axis[2]
    for i in range(vectors.shape[0]):
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        c, s = math.cos(angles[i]), math.sin(angles[i])
        dot = (ax * x + ay * y + az * z) * (1.0 - c)
        out[i, 0] = x * c + (ay * z - az * y) * s + ax * dot
        out[i, 1] = y * c + (az * x - ax * z) * s + ay * dot
        out[i, 2] = z * c + (ax * y - ay * x) * s + az * dot
    return out


def rotation_matrix(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) matrix of the active right-handed rotation by `angle` (radians) about the unit vector `axis`."""
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = (float(v) for v in axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    outer = np.outer(axis, axis)
    return np.asarray(c * np.eye(3) + s * cross + (1.0 - c) * outer)
