"""Values of models that vary with the scan, one row for each scan point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal, Experiment, cell_from_real_space
from spindle_lib_refinement.metric import cell_deviations

from .turns import orientations, three_turns

__all__ = ["BEAM", "CELL", "TURNS", "Curves", "beam_curves", "cell_curves", "turn_curves"]

CELL = ("a", "b", "c", "alpha", "beta", "gamma", "volume")
TURNS = ("phi1", "phi2", "phi3")
BEAM = ("x", "y")


@dataclass(frozen=True)
class Curves:
    """Values of one experiment along its scan.

    Attributes
    ----------
    number : int
        Of the experiment.
    phi : (n,) float64, degrees
        Rotation angles of the scan points.
    values : (n, k) float64
        A column for each curve.
    sd : (n, k) float64 or None
        Their standard deviations.
    """

    number: int
    phi: np.ndarray
    values: np.ndarray
    sd: np.ndarray | None = None


def _angles(experiment: Experiment, n: int, name: str, number: int) -> np.ndarray:
    """Rotation angles (n,) in degrees of the scan points."""
    scan = experiment.known_scan
    if n != scan.n_images + 1:
        raise UserError(
            f"{name} of experiment {number} has {n} scan points, its scan of {scan.n_images} images has {scan.n_images + 1}; refine again"
        )
    start, width = scan.oscillation_deg
    return np.asarray(start + width * np.arange(n))


def cell_curves(experiment: Experiment, number: int) -> Curves | None:
    """Six cell parameters (angstrom, degrees) and the volume (angstrom^3), columns as `CELL`; None for a static crystal.

    Raises
    ------
    UserError
        If the crystal has not one scan point more than the scan has images.
    """
    crystal = experiment.crystal
    if crystal is None or crystal.A_at_scan_points is None:
        return None
    A = crystal.A_at_scan_points
    phi = _angles(experiment, len(A), "the crystal", number)
    cells = cell_from_real_space(np.linalg.inv(A))
    values = np.column_stack([cells, 1.0 / np.linalg.det(A)])
    covariance = crystal.extra.get("B_covariance_at_scan_points")
    sd = None
    if covariance is not None:
        given = np.asarray(covariance, dtype=np.float64).reshape(-1, 9, 9)
        if len(given) == len(A):
            B = np.swapaxes(orientations(A), -1, -2) @ A
            sd = np.array([cell_deviations(b, c) for b, c in zip(B, given, strict=True)])
    return Curves(number, phi, values, sd)


def turn_curves(experiment: Experiment, number: int, axes: np.ndarray, relative: bool = True) -> Curves | None:
    """Three turns (degrees) that make up the orientation at each scan point, without jumps by whole turns; None for a static crystal.

    Parameters
    ----------
    experiment : Experiment
    number : int
    axes : (3, 3) float64
        Unit vectors of the first, second and third turn, in the laboratory.
    relative : bool
        Turns from the static orientation; else from a crystal with a along x and b in the xy plane.

    Raises
    ------
    UserError
        If the crystal has not one scan point more than the scan has images.
    ValueError
        If the second axis is parallel to another, or the orientation cannot be reached by turns about these axes.
    """
    crystal: Crystal | None = experiment.crystal
    if crystal is None or crystal.A_at_scan_points is None:
        return None
    phi = _angles(experiment, len(crystal.A_at_scan_points), "the crystal", number)
    Q = orientations(crystal.A_at_scan_points)
    if relative:
        Q = Q @ crystal.U.T
    angles = three_turns(Q, *axes)
    if not np.isfinite(angles).all():
        raise ValueError("the orientation cannot be reached by turns about these axes")
    return Curves(number, phi, np.asarray(np.rad2deg(np.unwrap(angles, axis=0))))


def beam_curves(experiment: Experiment, number: int) -> Curves | None:
    """Beam centres (pixels) on the panel that the static beam hits; None for a static beam, or one that hits no panel.

    Raises
    ------
    UserError
        If the beam has not one scan point more than the scan has images.
    """
    points = experiment.beam.s0_at_scan_points
    if points is None:
        return None
    phi = _angles(experiment, len(points), "the beam", number)
    hit = experiment.detector.beam_centre(experiment.beam.s0)
    if hit is None:
        return None
    v = points @ experiment.detector.D[hit[0]].T
    return Curves(number, phi, v[:, :2] / v[:, 2:] / experiment.detector[hit[0]].pixel_size)
