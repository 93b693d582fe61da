"""Angles of rotation that are written modulo a full turn: the one rule for files and for the grouping of images.

Instruments write 359.5, 0, 0.5 or 179.5, -180, -179.5 for what goes on without a jump; others count 359.5, 360, 360.5 or
write the end of an image as 360 and the start of the next as 0. Angles are the same when they differ by whole turns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["FULL_TURN_DEG", "image_width", "nearest_turn", "unwrapped"]

FULL_TURN_DEG = 360.0


def nearest_turn(angle_deg: Any, to_deg: Any = 0.0) -> Any:
    """The same angle, by whole turns as near as can be to another one.

    Parameters
    ----------
    angle_deg, to_deg : float or array, degrees

    Returns
    -------
    float or array, degrees
        Within [to - 180, to + 180].
    """
    away = np.asarray(angle_deg, dtype=np.float64) - to_deg
    near = angle_deg - FULL_TURN_DEG * np.rint(away / FULL_TURN_DEG)
    return float(near) if np.ndim(near) == 0 else near


def unwrapped(angles_deg: Any, step_deg: float = 0.0) -> np.ndarray:
    """Angles of images in a row without jumps by whole turns.

    Parameters
    ----------
    angles_deg : (n,) float, degrees
    step_deg : float, degrees
        By which they are known to advance; each step is taken as near to it as whole turns allow.

    Returns
    -------
    (n,) float64, degrees
        The first is as given.
    """
    angles = np.asarray(angles_deg, dtype=np.float64)
    if len(angles) < 2:
        return angles.copy()
    # Whole turns alone are added, so that angles without jumps come out as they went in, to the last bit.
    turns = np.cumsum(np.rint((np.diff(angles) - step_deg) / FULL_TURN_DEG))
    return np.asarray(angles - FULL_TURN_DEG * np.concatenate([[0.0], turns]))


def image_width(start_deg: Any, end_deg: Any) -> Any:
    """Rotation during images from their first and last angles, negative when angles decrease.

    Parameters
    ----------
    start_deg, end_deg : float or (n,) float, degrees
        One image or all images of a sweep.

    Returns
    -------
    float or (n,) float64, degrees
        Within half a turn; images that all last whole turns, which nothing but the end tells, keep them.
    """
    change = np.asarray(end_deg, dtype=np.float64) - start_deg
    width = nearest_turn(change)
    if np.all(np.abs(width) < 1e-6) and np.all(np.abs(change) > 1.0):
        width = change
    return float(width) if np.ndim(width) == 0 else np.asarray(width)
