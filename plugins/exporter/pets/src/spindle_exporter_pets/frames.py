"""Virtual frames: which reflections are near the Ewald sphere at the middle of some images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Experiment
from spindle_lib_exchange import cell_of, laboratory_matrices

__all__ = ["VirtualFrames", "pets_frame", "virtual_frames"]


@dataclass(frozen=True, slots=True)
class VirtualFrames:
    """Frames and their reflections.

    Attributes
    ----------
    cell : (6,) float64
    wavelength : float
    UB : (3, 3) float64, 1/angstrom
        Of the whole scan, in the frame of PETS.
    angle : (m,) float64, degrees
        Rotation angle at the middle of each frame.
    half_width : float, degrees
        Half of the rotation that a frame takes in.
    zone_axis : (m, 3) float64
        Direction of the beam in the crystal's basis; the largest component is 1 or -1.
    euler : (m, 3) float64, degrees
        alpha, beta, omega that turn the UB of the whole scan into that of the frame.
    frame, row : (k,) int64
        Entries: number of the frame and row of the observation.
    n_merged, step : int
    """

    cell: np.ndarray
    wavelength: float
    UB: np.ndarray
    angle: np.ndarray
    half_width: float
    zone_axis: np.ndarray
    euler: np.ndarray
    frame: np.ndarray
    row: np.ndarray
    n_merged: int
    step: int


def pets_frame(axis: np.ndarray, s0: np.ndarray) -> np.ndarray:
    """(3, 3) turn from the laboratory: z towards the source, x as nearly along the rotation axis as possible."""
    z = -s0 / np.linalg.norm(s0)
    y = np.cross(z, axis)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def virtual_frames(experiment: Experiment, hkl: np.ndarray, n_merged: int, step: int, cutoff: float) -> VirtualFrames:
    """Virtual frames of a scan and the reflections excited in them.

    Parameters
    ----------
    experiment : Experiment
    hkl : (n, 3) int
    n_merged, step : int
        Images of a frame, and from one to the next.
    cutoff : float, 1/angstrom
        Largest distance from the Ewald sphere at the middle of a frame.
    """
    scan, beam = experiment.known_scan, experiment.beam
    axis = experiment.known_goniometer.axis_lab
    to_pets = pets_frame(axis, beam.s0)
    first = scan.array_range[0]
    starts = np.arange(0, scan.n_images - n_merged + 1, step)
    middle = first + starts + 0.5 * n_merged
    matrices = laboratory_matrices(experiment, middle)
    angle = np.asarray(scan.angle_from_array_index(middle))
    whole = to_pets @ laboratory_matrices(experiment, middle[:1])[0]
    if experiment.crystal is not None:
        gonio = experiment.known_goniometer
        whole = to_pets @ gonio.setting_rotation @ gonio.fixed_rotation @ experiment.crystal.A
    s0 = to_pets @ beam.s0
    pets_axis = to_pets @ axis
    ewald = np.linalg.norm(s0)
    zones, euler, frames, rows = [], [], [], []
    for j in range(len(middle)):
        at_angle = rotation_matrix(pets_axis, float(angle[j])) @ to_pets @ matrices[j]
        zone = at_angle.T @ np.array([0.0, 0.0, 1.0])
        zones.append(zone / np.abs(zone).max())
        euler.append(_angles(at_angle @ np.linalg.inv(whole)))
        error = ewald - np.linalg.norm(s0 + hkl @ at_angle.T, axis=1)
        near = np.flatnonzero(np.abs(error) < cutoff)
        frames.append(np.full(len(near), j))
        rows.append(near)
    width = scan.oscillation_deg[1]
    cell, _ = cell_of(experiment.known_crystal)
    return VirtualFrames(
        cell, beam.wavelength, whole, np.rad2deg(angle), 0.5 * width * n_merged, np.array(zones), np.array(euler),
        np.concatenate(frames), np.concatenate(rows), n_merged, step,
    )  # fmt: skip


def _angles(turn: np.ndarray) -> tuple[float, float, float]:
    """alpha, beta, omega in degrees with turn = Rz(omega) Rx(alpha) Ry(beta), of the nearest rotation."""
    u, _, vt = np.linalg.svd(turn)
    R = u @ vt
    alpha = np.arcsin(np.clip(R[2, 1], -1, 1))
    beta = np.arctan2(-R[2, 0], R[2, 2])
    omega = np.arctan2(-R[0, 1], R[1, 1])
    return tuple(float(v) for v in np.degrees([alpha, beta, omega]))  # type: ignore[return-value]
