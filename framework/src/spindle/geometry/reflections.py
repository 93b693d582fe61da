"""Per-reflection quantities: frames, zeta, Lorentz and polarisation factors, efficiency of the sensor."""

from __future__ import annotations

import numpy as np

from spindle.errors import ShapeError


def rays(s1: np.ndarray) -> np.ndarray:
    """The array as (n, 3) float64; a ShapeError if it has another shape."""
    s1 = np.asarray(s1, dtype=np.float64)
    if s1.ndim != 2 or s1.shape[1] != 3:
        raise ShapeError(f"s1 has shape {s1.shape}, (n, 3) expected")
    return s1


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True))


def kabsch_frame(s1: np.ndarray, s0: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The local frames e1, e2, e3 of reflections, each (n, 3).

    Parameters
    ----------
    s1 : (n, 3) float64, 1/angstrom
    s0 : (3,) or (n, 3) float64, 1/angstrom

    Notes
    -----
    e1 = s1 x s0, e2 = s1 x e1, e3 = s1 + s0, each normalised. Kabsch (2010), Acta Cryst. D66, 133-144.
    """
    s1 = rays(s1)
    e1 = _unit(np.cross(s1, s0))
    return e1, _unit(np.cross(s1, e1)), _unit(s1 + s0)


def zeta_factor(s0: np.ndarray, s1: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Cosine between the rotation axis and the local e1 axis of each reflection.

    Parameters
    ----------
    s0 : (3,) float64, 1/angstrom
        Incident beam, |s0| = 1 / wavelength.
    s1 : (n, 3) float64, 1/angstrom
        Diffracted beams.
    axis : (3,) float64, unit vector
        Rotation axis in the laboratory frame.

    Returns
    -------
    (n,) float64, dimensionless, in [-1, 1]

    Raises
    ------
    ShapeError
        If ``s1`` is not (n, 3).

    Notes
    -----
    zeta = axis . e1. Kabsch (2010), Acta Cryst. D66, 133-144.
    """
    e1 = _unit(np.cross(rays(s1), s0))
    return np.asarray(e1 @ np.asarray(axis))


def lorentz_factor(s0: np.ndarray, s1: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """(n,) float64: the *inverse* Lorentz factor |s1 . (axis x s0)| of unit vectors; 1 when `axis` is None (stills)."""
    s1 = rays(s1)
    if axis is None:
        return np.ones(len(s1))
    return np.asarray(np.abs(_unit(s1) @ np.cross(axis, _unit(np.asarray(s0, dtype=np.float64)))))


def polarisation_factor(s0: np.ndarray, s1: np.ndarray, normal: np.ndarray, fraction: float) -> np.ndarray:
    """(n,) float64: P = (1 - 2p)(1 - (n.s1)^2) + p(1 + (s1.s0)^2), of unit vectors, with the normal n and fraction
    p.
    """
    u1 = _unit(rays(s1))
    u0 = _unit(np.asarray(s0, dtype=np.float64))
    return np.asarray(
        (1.0 - 2.0 * fraction) * (1.0 - (u1 @ np.asarray(normal)) ** 2) + fraction * (1.0 + (u1 @ u0) ** 2)
    )


def stopped_fraction(cosine: np.ndarray, mu: np.ndarray, thickness: np.ndarray) -> np.ndarray:
    """(n,) float64: fraction of photons stopped in a sensor, 1 - exp(-mu t / |cos|); 1 where mu is 0.

    Parameters
    ----------
    cosine : (n,) float64
        Between ray and normal of the sensor.
    mu : (n,) float64, 1/mm
    thickness : (n,) float64, mm
    """
    stopped = 1.0 - np.exp(-mu * thickness / np.maximum(np.abs(cosine), 1e-9))
    return np.asarray(np.where(mu > 0, stopped, 1.0))
