"""Which planes are shown, and where their normals are projected to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Crystal, Experiment
from spindle.symmetry import is_systematically_absent, laue_group_ops

__all__ = [
    "View",
    "crystal_view",
    "equivalent_planes",
    "laboratory_view",
    "planes_up_to",
    "smallest_difference",
    "stereographic",
]


@dataclass(frozen=True)
class View:
    """Axes of a projection.

    Attributes
    ----------
    towards : (3,) float64
        Unit vector to the centre of the disc.
    right, up : (3,) float64
        Unit vectors of its x and y.
    """

    towards: np.ndarray
    right: np.ndarray
    up: np.ndarray


def planes_up_to(limit: int) -> np.ndarray:
    """(n, 3) int: all indices with no element larger than `limit`, without 0, 0, 0; of two opposite ones one."""
    steps = np.arange(-limit, limit + 1)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[_leads(grid)])


def _leads(hkl: np.ndarray) -> np.ndarray:
    """(n,) bool: whether the first element that is not 0 is positive."""
    first = np.where(hkl[:, 0] != 0, hkl[:, 0], np.where(hkl[:, 1] != 0, hkl[:, 1], hkl[:, 2]))
    return np.asarray(first > 0)


def equivalent_planes(hkl: np.ndarray, crystal: Crystal, expand: bool, without_absent: bool) -> np.ndarray:
    """Directions of planes.

    Parameters
    ----------
    hkl : (n, 3) int
    crystal : Crystal
        Whose space group counts.
    expand : bool
        With all planes that symmetry makes of them; of two opposite ones one is enough.
    without_absent : bool
        Without planes whose reflections are absent by centring, screw axes or glide planes.

    Returns
    -------
    (m, 3) int
        Without common divisors, each once, in order.
    """
    hkl = np.asarray(hkl, dtype=np.int64).reshape(-1, 3)
    if without_absent:
        hkl = hkl[~is_systematically_absent(hkl.astype(np.int32), crystal.space_group)]
    if expand and len(hkl):
        hkl = np.concatenate([hkl @ r for r in laue_group_ops(crystal.space_group, proper=True)])
        hkl = np.where(_leads(hkl)[:, None], hkl, -hkl)  # opposite directions are one place on the disc
    divisor = np.gcd.reduce(hkl, axis=1) if len(hkl) else np.zeros(0, np.int64)
    return np.unique(hkl[divisor > 0] // divisor[divisor > 0, None], axis=0)


def stereographic(vectors: np.ndarray, view: View) -> np.ndarray:
    """(n, 2) float64: projections of directions (n, 3); those of the far hemisphere are turned round.

    Notes
    -----
    Stokes, Keown & Dyson (1968), J. Appl. Cryst. 1, 68-70.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    near = unit @ view.towards
    unit = np.where((near < 0)[:, None], -unit, unit)
    return np.stack([unit @ view.right, unit @ view.up], axis=1) / (1.0 + np.abs(near))[:, None]


def laboratory_view(experiment: Experiment) -> View:
    """Along the beam, y along the rotation axis (along the laboratory's y without, or when it is along the beam)."""
    towards = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    candidates = [np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])]
    if experiment.goniometer is not None:
        candidates.insert(0, experiment.goniometer.axis_lab)
    axis = next(a for a in candidates if np.linalg.norm(np.cross(towards, a)) > 1e-3)
    right = np.cross(towards, axis)
    right = right / np.linalg.norm(right)
    return View(towards, right, np.cross(right, towards))


def crystal_view(crystal: Crystal, along: np.ndarray) -> View:
    """Along a lattice vector (3,) int of a crystal that is not turned (A = B); x towards a*, or b* where that is the direction."""
    towards = along @ np.linalg.inv(crystal.B)  # rows of B^-1 are a, b, c
    towards = towards / np.linalg.norm(towards)
    for star in crystal.B.T:
        right = star - (star @ towards) * towards
        if np.linalg.norm(right) > 1e-3 * np.linalg.norm(star):
            break
    right = right / np.linalg.norm(right)
    return View(towards, right, np.cross(towards, right))


def smallest_difference(first: Crystal, other: Crystal) -> np.ndarray:
    """(3, 3) rotation in the frame of the first crystal's cell that takes the first to the other, the smallest that symmetry allows.

    Indices h and h R are equivalent, so that A R^T = U B R^T describes the crystal as well as A = U B does, with the orientation
    U' = U B R^T B^-1; U_first^T U' is the difference.
    """
    back = np.linalg.inv(other.B)
    candidates = np.array([first.U.T @ other.A @ r.T @ back for r in laue_group_ops(other.space_group, proper=True)])
    return np.asarray(candidates[np.argmax(np.trace(candidates, axis1=1, axis2=2))])
