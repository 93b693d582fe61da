"""Prediction of all reflections of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ModelError
from spindle.geometry import prediction_kernels as kernels
from spindle.geometry import rotate_about
from spindle.geometry.panels import ray_intersections

if TYPE_CHECKING:
    from spindle.models import Experiment
    from spindle.table import ReflectionTable

MAX_INDICES = 200_000_000
USUAL_INDICES = 2**16  # room for them is made before they are counted


def centring_translations(experiment: Experiment) -> np.ndarray:
    """(m, 3) int64: centring vectors of the crystal's lattice in 24ths of the cell; the zero vector is left out."""
    assert experiment.crystal is not None
    vectors = np.array(experiment.crystal.space_group.operations().cen_ops, dtype=np.int64).reshape(-1, 3)
    return np.ascontiguousarray(vectors[np.any(vectors != 0, axis=1)])


def indices_to_resolution(
    experiment: Experiment,
    d_min: float,
    d_max: float | None = None,
    angles: tuple[float, float] | None = None,
    spread: float = 0.0,
) -> np.ndarray:
    """(n, 3) int32: Miller indices between the resolution limits (angstrom) that the centring allows.

    Parameters
    ----------
    experiment : Experiment
    d_min, d_max : float, angstrom
    angles : (float, float), radians
        Only those that may cross the Ewald sphere while the goniometer turns from the first to the second: all that do, and some
        more that are close to it.
    spread : float
        Largest relative change of lattice and beam meanwhile.

    Raises
    ------
    ModelError
        If there are more than 200 million, which means that the cell or the limit is absurd.
    """
    crystal = experiment.crystal
    assert crystal is not None
    limits = np.floor(np.linalg.norm(crystal.real_space, axis=1) / d_min + 1e-9).astype(np.int64)
    if np.prod(2.0 * limits + 1.0) > MAX_INDICES:
        raise ModelError(
            f"a cell of {np.array2string(crystal.cell, precision=1)} to {d_min:.2f} A has too many reflections: check "
            "the cell and "
            "the indexing, or set prediction.d_min="
        )
    centring = centring_translations(experiment)
    bounds = (d_min, d_max or 0.0, limits, centring, *_near_sphere(experiment, d_min, angles, spread))
    out = np.empty((USUAL_INDICES, 3), np.int32)
    n = kernels.list_indices(crystal.A, *bounds, out)
    if n > len(out):
        out = np.empty((n, 3), np.int32)
        kernels.list_indices(crystal.A, *bounds, out)
    return out[:n]


def _near_sphere(
    experiment: Experiment, d_min: float, angles: tuple[float, float] | None, spread: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """Lattice, beam and axis in the middle of a rotation, and how far |p|^2 + 2 s.p may be from 0 there: a factor of the part of p
    across the axis, which a turn by at most delta moves by at most 2 sin(delta / 2) of its length, and what is added to it.
    """
    crystal, goniometer, s0 = experiment.crystal, experiment.goniometer, experiment.beam.s0
    assert crystal is not None
    q, wave = 1.0 / d_min, float(np.linalg.norm(s0))
    everywhere = 1.001 * q * (q + 2.0 * wave)
    if angles is None or goniometer is None:
        return np.array(crystal.A), np.array(s0), np.array([1.0, 0.0, 0.0]), 0.0, everywhere
    axis, s = np.array(goniometer.rotation_axis), goniometer.setting_rotation.T @ s0
    lattice = goniometer.fixed_rotation @ crystal.A
    turned = rotate_about(np.ascontiguousarray(lattice.T), axis, np.full(3, 0.5 * (angles[0] + angles[1]))).T
    delta = min(0.5 * abs(angles[1] - angles[0]), np.pi)
    across = float(np.linalg.norm(s - (s @ axis) * axis))
    turn, slack = 4.0 * across * float(np.sin(0.5 * delta)), 4.0 * spread * q * (q + 2.0 * wave)
    return np.ascontiguousarray(turned), np.ascontiguousarray(s), axis, turn * (1 + 1e-9), slack * (1 + 1e-9) + 1e-12


def _limits(experiment: Experiment, d_min: float | None) -> float:
    limit = resolution_limit(experiment, d_min)
    if experiment.is_still:
        raise ModelError("prediction of rotation data needs a goniometer and a scan of non-zero width")
    return limit


def resolution_limit(experiment: Experiment, d_min: float | None) -> float:
    """The limit in angstrom to which reflections are predicted; None is the corner of the detector.

    Raises
    ------
    ModelError
        Without crystal, or when it is below half the wavelength.
    """
    if experiment.crystal is None:
        raise ModelError("prediction needs a crystal; run spindle index first")
    beam, detector = experiment.beam, experiment.detector
    limit = detector.max_resolution(beam.s0) if d_min is None else float(d_min)
    if limit < beam.wavelength / 2:
        raise ModelError(
            f"prediction.d_min={limit} A is below half the wavelength ({beam.wavelength / 2:.4f} A); raise it"
        )
    return limit


def prediction_table(
    experiment: Experiment,
    index: int,
    hkl: np.ndarray,
    s1: np.ndarray,
    phi: np.ndarray,
    z: np.ndarray,
    entering: np.ndarray,
    more: Mapping[str, np.ndarray] | None = None,
) -> ReflectionTable:
    """Rays that hit a panel, as a table; `more` columns are taken along."""
    from spindle.table import Flag, ReflectionTable

    detector = experiment.detector
    size = np.array([p.size_mm for p in detector])
    panel = np.empty(len(s1), np.int64)
    xy = np.empty((len(s1), 2))
    ray_intersections(np.ascontiguousarray(s1), detector.geometry.D, size, panel, xy)
    # With a thick sensor a ray that crosses the front plane just outside the edge may be seen inside, and the reverse;
    # only the panel is chosen by the front plane, as the files' convention has it.
    hit = np.flatnonzero(panel >= 0)
    panel, xy, phi, z = panel[hit], xy.take(hit, axis=0), phi[hit], z[hit]
    pixels = detector.mm_to_pixel(panel, xy)
    table = ReflectionTable(identifiers={index: experiment.identifier})
    table["miller_index"] = hkl.take(hit, axis=0)
    table["id"] = np.full(len(panel), index, np.int32)
    table["panel"] = panel
    table["entering"] = entering[hit]
    table["s1"] = s1.take(hit, axis=0)
    table["xyzcal.mm"] = np.column_stack([xy, phi])
    table["xyzcal.px"] = np.column_stack([pixels, z])
    table["flags"] = np.full(len(panel), int(Flag.PREDICTED), np.uint64)
    for name, values in (more or {}).items():
        table[name] = values[hit]
    return table


def predict_static(
    experiment: Experiment, index: int = 0, d_min: float | None = None, d_max: float | None = None, padding: float = 0.0
) -> ReflectionTable:
    """Predict reflections of one lattice that stays the same through the scan.

    Parameters
    ----------
    experiment : Experiment
        With crystal, goniometer and scan.
    index : int
        Value of the column `id`.
    d_min, d_max : float, angstrom
        Resolution limits; None is that of the detector's corners, and no limit.
    padding : float, radians
        How far outside the scan reflections are wanted.

    Returns
    -------
    ReflectionTable
        miller_index, id, panel, entering, s1, xyzcal.mm, xyzcal.px, flags; one row per crossing, every turn of the
        scan.

    Raises
    ------
    ModelError
        Without crystal or rotation, or with a limit below half the wavelength.
    """
    limit = _limits(experiment, d_min)
    beam, goniometer, scan, crystal = experiment.beam, experiment.goniometer, experiment.scan, experiment.crystal
    assert goniometer is not None and scan is not None and crystal is not None
    start, end = scan.oscillation_range
    hkl = indices_to_resolution(experiment, limit, d_max, (start - padding, end + padding))
    turns = int((end - start + 2 * padding) / (2 * np.pi)) + 1
    m = 2 * turns * len(hkl)
    row, phi = np.empty(m, np.int64), np.empty(m)
    s1, entering = np.empty((m, 3)), np.empty(m, np.bool_)
    s0 = beam.s0
    n = kernels.predict_static_kernel(
        hkl, crystal.A, goniometer.fixed_rotation, goniometer.setting_rotation, s0, goniometer.setting_rotation.T @ s0,
        goniometer.rotation_axis, start - padding, end + padding, row, phi, s1, entering,
    )  # fmt: skip
    row, phi, s1, entering = row[:n], phi[:n], s1[:n], entering[:n]
    return prediction_table(
        experiment, index, hkl.take(row, axis=0), s1, phi, scan.array_index_from_angle(phi), entering
    )


def predict_scan_varying(
    experiment: Experiment, index: int = 0, d_min: float | None = None, d_max: float | None = None, padding: float = 0.0
) -> ReflectionTable:
    """Predict reflections of a lattice (and beam, and setting rotation) that changes along the scan.

    Parameters and returns as `predict_static`; models without scan points stay constant. Within an image the path of a
    reciprocal lattice point is its chord; the error is of order (image width)^2 |r| / 8.
    """
    limit = _limits(experiment, d_min)
    beam, goniometer, scan, crystal = experiment.beam, experiment.goniometer, experiment.scan, experiment.crystal
    assert goniometer is not None and scan is not None and crystal is not None
    n_points = scan.n_images + 1

    def points(values: np.ndarray | None, constant: np.ndarray, name: str) -> np.ndarray:
        if values is None:
            return np.ascontiguousarray(np.broadcast_to(constant, (n_points, *constant.shape)))
        if len(values) != n_points:
            raise ModelError(
                f"{name} has {len(values)} scan points, the scan of {scan.n_images} images needs {n_points}"
            )
        return np.ascontiguousarray(values)

    A = points(crystal.A_at_scan_points, crystal.A, "the crystal")
    S = points(goniometer.setting_rotation_at_scan_points, goniometer.setting_rotation, "the setting rotation")
    s0 = points(beam.s0_at_scan_points, beam.s0, "the beam")
    A_mean, S_mean, s0_mean = A.mean(axis=0), goniometer.setting_rotation, s0.mean(axis=0)
    relative = np.linalg.norm(A @ np.linalg.inv(A_mean) - np.eye(3), axis=(1, 2)).max()
    turned = (
        np.linalg.norm(S - S_mean, axis=(1, 2)).max() + np.linalg.norm(s0 - s0_mean, axis=1).max() * beam.wavelength
    )
    from dataclasses import replace

    margin = 1.0 - float(relative)
    mean = replace(experiment, crystal=crystal.with_A(A_mean))
    start, width = scan.oscillation
    extra = int(np.floor(padding / width + 0.5))
    first, last = -extra, scan.n_images + extra
    angles = (start + first * width, start + last * width)
    spread = relative + turned + np.linalg.norm(beam.s0 - s0_mean) * beam.wavelength
    hkl = indices_to_resolution(mean, limit * max(margin, 0.5), d_max, angles, float(spread))
    m = len(hkl) * 2 + 1024
    while True:
        row, z = np.empty(m, np.int64), np.empty(m)
        s1, entering = np.empty((m, 3)), np.empty(m, np.bool_)
        n = kernels.predict_scan_varying_kernel(
            hkl, A_mean, A, S, s0, goniometer.fixed_rotation, S_mean, s0_mean, goniometer.rotation_axis, start, width,
            float(scan.array_range[0]), scan.n_images, first, last, float(relative + turned), limit, row, z, s1,
            entering,
        )  # fmt: skip
        if n <= m:
            break
        m = n
    row, z, s1, entering = row[:n], z[:n], s1[:n], entering[:n]
    order = np.lexsort((z, row))
    row, z, s1, entering = row[order], z[order], s1[order], entering[order]
    return prediction_table(experiment, index, hkl.take(row, axis=0), s1, scan.angle_from_array_index(z), z, entering)


def predict(
    experiment: Experiment, index: int = 0, d_min: float | None = None, d_max: float | None = None,
    padding: float = 0.0,
    force_static: bool = False,
) -> ReflectionTable:  # fmt: skip
    """Predict with scan-varying models where there are any, static otherwise (`padding` in radians); stills as such."""
    if experiment.is_still:
        from .stills import predict_still

        return predict_still(experiment, index, d_min, d_max)
    crystal, beam, goniometer = experiment.crystal, experiment.beam, experiment.goniometer
    varying = (
        (crystal is not None and crystal.A_at_scan_points is not None)
        or beam.s0_at_scan_points is not None
        or (goniometer is not None and goniometer.setting_rotation_at_scan_points is not None)
    )
    function = predict_scan_varying if varying and not force_static else predict_static
    return function(experiment, index, d_min, d_max, padding)
