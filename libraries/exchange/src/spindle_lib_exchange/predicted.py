"""What follows for each reflection of a file from models and rotation angles: diffracted beams, resolution, places in millimetres."""

from __future__ import annotations

import numpy as np

from spindle.geometry import rotate_about
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable

from .crystals import laboratory_matrices

__all__ = ["add_predicted", "diffracted_beams"]


def diffracted_beams(experiment: Experiment, hkl: np.ndarray, phi: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Diffracted beams at calculated angles.

    Parameters
    ----------
    experiment : Experiment
        With a crystal and a goniometer.
    hkl : (n, 3) int
    phi : (n,) float64, radians
    z : (n,) float64, array index
        Where in the scan; decides which crystal, where that varies.

    Returns
    -------
    (n, 3) float64, 1/angstrom
        Of the length of the incident beam.
    """
    A = laboratory_matrices(experiment, z)
    q = np.einsum("nij,nj->ni", A, hkl.astype(np.float64))
    turned = rotate_about(np.ascontiguousarray(q), experiment.known_goniometer.axis_lab, np.ascontiguousarray(phi))
    s1 = turned + experiment.beam.s0
    return np.asarray(s1 / np.linalg.norm(s1, axis=1, keepdims=True) / experiment.beam.wavelength)


def add_predicted(experiments: Experiments, table: ReflectionTable) -> None:
    """Add to a table with indices and ``xyzcal.px`` what follows from them and the models.

    Parameters
    ----------
    experiments : Experiments
        Each with crystal, goniometer and scan.
    table : ReflectionTable
        Gets ``s1``, ``d``, ``entering``, ``xyzcal.mm``, and observed positions that are the calculated ones.
    """
    n = len(table)
    s1, d, entering, mm = np.zeros((n, 3)), np.zeros(n), np.zeros(n, bool), np.zeros((n, 3))
    place = table["xyzcal.px"]
    for i, rows in table.rows_by_experiment().items():
        experiment = experiments[i]
        phi = np.asarray(experiment.known_scan.angle_from_array_index(place[rows, 2]))
        s1[rows] = diffracted_beams(experiment, table["miller_index"][rows], phi, place[rows, 2])
        s0, axis = experiment.beam.s0, experiment.known_goniometer.axis_lab
        d[rows] = 1.0 / np.maximum(np.linalg.norm(s1[rows] - s0, axis=1), 1e-12)
        entering[rows] = s1[rows] @ np.cross(s0, axis) < 0.0
        mm[rows, :2] = experiment.detector.pixel_to_mm(np.zeros(len(rows), np.int64), place[rows, :2])
        mm[rows, 2] = phi
    table["s1"], table["d"], table["entering"], table["xyzcal.mm"] = s1, d, entering, mm
    table["xyzobs.px.value"], table["xyzobs.px.variance"] = place.copy(), np.full((n, 3), 1.0 / 12.0)
    table["xyzobs.mm.value"] = mm.copy()
