"""Lengths of the ways of rays through bodies beside the crystal; the crystal is at the origin.

Arrays in, arrays out. Directions are unit vectors in the laboratory.
"""

from __future__ import annotations

import numpy as np

__all__ = ["edge_tape_paths", "plate_paths", "tape_box_paths"]

LEAST_COSINE = 1e-9
DEPTH_IN_HALF_WIDTHS = 20.0


def edge_tape_paths(
    directions: np.ndarray, beam: np.ndarray, height: float, angle: float, half_width: float, thickness: float
) -> np.ndarray:
    """Ways through a flat tape along the beam that ends behind the crystal.

    The tape's faces are the planes ``height`` and ``height + thickness`` from the crystal, on the side of +x where ``angle`` is 0; it
    ends in the plane across the beam ``half_width`` behind the crystal, and has no other end. Fuller et al. (2017), Nature Methods 14,
    443-449.

    Parameters
    ----------
    directions : (n, 3) float64
    beam : (3,) float64, unit vector
        Direction of the incident beam.
    height, half_width, thickness : float, mm
    angle : float, rad
        Turn of the tape about the reversed beam.

    Returns
    -------
    (n,) float64, mm
    """
    # the normal from the tape to the crystal: -x turned by -angle about the beam (Rodrigues)
    x = np.array([-1.0, 0.0, 0.0])
    c, s = np.cos(angle), -np.sin(angle)
    normal = c * x + s * np.cross(beam, x) + (1.0 - c) * (beam @ x) * beam
    towards = -(directions @ normal)  # > 0: to the tape
    along = directions @ beam
    with np.errstate(divide="ignore", invalid="ignore"):
        enter = height / towards
        leave = np.minimum((height + thickness) / towards, half_width / along)
        path = leave - enter
    reached = (towards > LEAST_COSINE) & (along > LEAST_COSINE) & (path > 0)
    return np.where(reached, path, 0.0)


def tape_box_paths(
    directions: np.ndarray, height: float, angle: float, half_width: float, thickness: float
) -> np.ndarray:
    """Ways through a tape that is a box, on the side of -x where ``angle`` is 0.

    It is ``thickness`` thick, ``2 half_width`` wide along z, its middle at the crystal, and twenty half widths long.

    Parameters
    ----------
    directions : (n, 3) float64
    height : float, mm
        From the crystal to the near face.
    angle : float, rad
        Turn of the box about z.
    half_width, thickness : float, mm

    Returns
    -------
    (n,) float64, mm
    """
    c, s = np.cos(angle), np.sin(angle)
    ux = c * directions[:, 0] + s * directions[:, 1]
    uy = -s * directions[:, 0] + c * directions[:, 1]
    own = np.stack([ux, uy, directions[:, 2]], axis=1)
    length = 0.5 * DEPTH_IN_HALF_WIDTHS * half_width
    low = np.array([-(height + thickness), -length, -half_width])
    high = np.array([-height, length, half_width])
    own = np.where(np.abs(own) < LEAST_COSINE, LEAST_COSINE, own)  # never along a face exactly
    a, b = low / own, high / own
    enter = np.maximum(np.minimum(a, b).max(axis=1), 0.0)
    leave = np.maximum(a, b).min(axis=1)
    return np.asarray(np.maximum(leave - enter, 0.0))


def plate_paths(directions: np.ndarray, normals: np.ndarray, thickness: float) -> np.ndarray:
    """Ways through plates without end: the thickness over the cosine to the normal.

    Parameters
    ----------
    directions : (n, 3) or (3,) float64
    normals : (n, 3) or (3,) float64, unit vectors
    thickness : float, mm

    Returns
    -------
    (n,) float64, mm
        Infinite along a plate.
    """
    cosine = np.abs(np.sum(directions * normals, axis=-1))
    with np.errstate(divide="ignore"):
        return np.asarray(thickness / cosine)
