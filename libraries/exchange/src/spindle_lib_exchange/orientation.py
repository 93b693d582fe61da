"""The orientation of a crystal, from the rotation angles at which its reflections were seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Crystal

__all__ = ["Orientation", "orientation_from_angles"]

FEWEST = 30
MOST = 20_000
FLATTEST = 1e-9  # smallest over largest eigenvalue of the normal equations, below which the angles leave a freedom
TILTED = 0.5  # a beam off the normal of the axis is believed where it leaves this part of the deviations or less


@dataclass(frozen=True, slots=True)
class Orientation:
    """A crystal and a beam that explain angles, in the frame with the axis along +x and the source towards +z.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
        At angle zero.
    direction : (3,) float64
        Of the source, a unit vector in the plane of x and z.
    rms_deg : float
        Root mean square of angles calculated from them minus those of the file.
    """

    A: np.ndarray
    direction: np.ndarray
    rms_deg: float


def orientation_from_angles(
    hkl: np.ndarray, phi: np.ndarray, cell: np.ndarray, wavelength: float
) -> Orientation | None:
    """The orientation that brings reflections into the reflecting position at given angles.

    Parameters
    ----------
    hkl : (n, 3) int
    phi : (n,) float64, radians
        About the axis of rotation.
    cell : (6,) float64, angstrom and degrees
    wavelength : float, angstrom

    Returns
    -------
    Orientation or None
        None for fewer than 30 reflections, or ones that do not tell it, such as those of a plane.

    Notes
    -----
    A reflection q = A h is on the Ewald sphere at phi when 2 s0 . R(phi) q = -q^2. The right side is known from the cell, the left one is linear
    in the rows of A: those across the axis follow by linear least squares, that along it from the cell, its sign from the hand. With enough
    rotation a component of the beam along the axis follows, too.
    """
    step = max(1, len(hkl) // MOST)
    hkl, phi = np.asarray(hkl, np.float64)[::step], np.asarray(phi, np.float64)[::step]
    if len(hkl) < FEWEST:
        return None
    B = Crystal.from_cell(cell).A
    metric = B.T @ B
    known = -0.5 * np.einsum("ni,ij,nj->n", hkl, metric, hkl)
    sine, cosine = np.sin(phi)[:, None], np.cos(phi)[:, None]
    found = [
        _solved(np.hstack(columns), known, hkl, sine, cosine, B, 1.0 / wavelength)
        for columns in ([-sine * hkl, -cosine * hkl], [hkl, -sine * hkl, -cosine * hkl])
    ]
    upright, tilted = found
    if upright is None or (tilted is not None and tilted.rms_deg < TILTED * upright.rms_deg):
        return tilted
    return upright


def _solved(
    design: np.ndarray, known: np.ndarray, hkl: np.ndarray, sine: np.ndarray, cosine: np.ndarray, B: np.ndarray, k: float
) -> Orientation | None:  # fmt: skip
    """Solve with the beam across the axis (six columns) or with a component along it (nine)."""
    normal = design.T @ design
    values = np.linalg.eigvalsh(normal)
    if not values[0] > FLATTEST * values[-1]:
        return None
    rows = np.linalg.solve(normal, design.T @ known).reshape(-1, 3) / k
    metric = B.T @ B
    along, across = 0.0, 1.0
    A = np.empty((3, 3))
    for _ in range(8 if len(rows) == 3 else 1):
        A[1:] = rows[-2:] / across
        lengths, vectors = np.linalg.eigh(metric - A[1:].T @ A[1:])
        if not lengths[-1] > 0:
            return None
        A[0] = np.sqrt(lengths[-1]) * vectors[:, -1]
        if np.linalg.det(A) < 0:
            A[0] = -A[0]
        if len(rows) == 3:
            along = float(np.clip(rows[0] @ A[0] / lengths[-1], -0.9, 0.9))
            across = float(np.sqrt(1.0 - along**2))
    left, _, right = np.linalg.svd(A @ np.linalg.inv(B))
    if np.linalg.det(left @ right) < 0:
        return None
    A = left @ right @ B
    qx, qy, qz = A @ hkl.T
    s, c = sine[:, 0], cosine[:, 0]
    excess = k * (along * qx - across * (s * qy + c * qz)) - known
    speed = k * across * (c * qy - s * qz)
    moving = np.abs(speed) > 0.1 * np.abs(speed).max()
    deviation = excess[moving] / speed[moving]
    rms = float(np.rad2deg(np.sqrt(np.mean(deviation**2))))
    return Orientation(A, np.array([-along, 0.0, across]), rms)
