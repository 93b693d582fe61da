"""A rotation as the product of rotations about three axes."""

from __future__ import annotations

import numpy as np

from spindle.geometry import rotation_matrix

__all__ = ["three_angles"]

#: Lengths below this are those of vectors that have no direction, of unit vectors.
NO_DIRECTION = 1e-9


def three_angles(
    rotation: np.ndarray, e1: np.ndarray, e2: np.ndarray, e3: np.ndarray
) -> list[tuple[float, float, float]]:
    """All angles with rotation = R(e1, a1) R(e2, a2) R(e3, a3).

    Parameters
    ----------
    rotation : (3, 3) float64
    e1, e2, e3 : (3,) float64, unit vectors
        In any directions; e2 must be parallel to neither of the others.

    Returns
    -------
    list of (float, float, float), radians
        None, one or two solutions, within -pi to pi. Where e1 and the turned e3 fall together, only the sum or the difference of the
        first and the last angle is known: the first is 0 then.

    Notes
    -----
    e1 . R e3 = e1 . R(e2, a2) e3, since R(e1, a1) leaves e1 and R(e3, a3) leaves e3 where they are; this is
    A cos a2 + B sin a2 = C. The other two angles follow from vectors before and after.
    """
    target = rotation @ e3
    along = (e1 @ e2) * (e2 @ e3)
    a, b, c = e1 @ e3 - along, e1 @ np.cross(e2, e3), e1 @ target - along
    size = float(np.hypot(a, b))
    if size < NO_DIRECTION or abs(c) > size * (1 + 1e-9):
        return []
    middle, spread = float(np.arctan2(b, a)), float(np.arccos(np.clip(c / size, -1.0, 1.0)))
    found = []
    for a2 in [middle + spread, middle - spread] if spread > 1e-9 and np.pi - spread > 1e-9 else [middle + spread]:
        second = rotation_matrix(e2, a2)
        a1 = _angle_about(e1, second @ e3, target)
        last = (rotation_matrix(e1, a1) @ second).T @ rotation
        start = np.cross(e3, e2 if abs(e3 @ e2) < 0.9 else _another(e3))
        a3 = _angle_about(e3, start, last @ start)
        found.append(tuple(float(np.arctan2(np.sin(v), np.cos(v))) for v in (a1, a2, a3)))
    return found  # type: ignore[return-value]


def _angle_about(axis: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Angle of the rotation about an axis that takes one vector to another; 0 where they lie on the axis."""
    one, two = start - axis * (axis @ start), end - axis * (axis @ end)
    if np.linalg.norm(one) < 1e-7 or np.linalg.norm(two) < 1e-7:
        return 0.0
    return float(np.arctan2(axis @ np.cross(one, two), one @ two))


def _another(axis: np.ndarray) -> np.ndarray:
    """A unit vector in another direction than an axis."""
    return np.eye(3)[int(np.argmin(np.abs(axis)))]
