"""Plates that turn with the crystal, or stand in the laboratory."""

from __future__ import annotations

import numpy as np

from spindle.errors import UserError
from spindle.models import Goniometer

__all__ = ["plate_normals"]


def plate_normals(normal: np.ndarray, goniometer: Goniometer | None, angles: np.ndarray, name: str) -> np.ndarray:
    """Normals in the laboratory of plates that are fixed to the crystal.

    Parameters
    ----------
    normal : (3,) float64
        Given with all axes of the goniometer at zero.
    goniometer : Goniometer or None
        None turns nothing.
    angles : (n,) float64, rad
        Scan angles.
    name : str
        Of the parameter, for messages.

    Returns
    -------
    (n, 3) float64, unit vectors

    Raises
    ------
    UserError
        If the normal has no direction.
    """
    normal = np.asarray(normal, float)
    length = float(np.linalg.norm(normal))
    if not np.isfinite(length) or length < 1e-9:
        raise UserError(
            f"{name}={','.join(f'{v:g}' for v in normal)}: a normal has a direction; give three numbers that are not all 0"
        )
    normal = normal / length
    if goniometer is None:
        return np.broadcast_to(normal, (len(angles), 3))
    start, axis = goniometer.fixed_rotation @ normal, goniometer.rotation_axis
    c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
    turned = c * start + s * np.cross(axis, start) + (1.0 - c) * (axis @ start) * axis
    return np.asarray(turned @ goniometer.setting_rotation.T)
