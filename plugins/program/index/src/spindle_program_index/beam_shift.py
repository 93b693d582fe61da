"""Whether another beam centre would make the spots a lattice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spindle.geometry import rotate_about
from spindle.models import Detector, Experiments
from spindle.table import ReflectionTable

#: Largest shift that is tried, mm; spots and lattice vectors that are looked at.
SCOPE_MM, N_SPOTS, N_VECTORS = 4.0, 2000, 20
#: Step of the search in units of the distance between neighbouring spots of the longest vector.
STEP = 0.2


def best_shift(sweeps: Experiments, table: ReflectionTable, vectors: np.ndarray) -> tuple[float, float]:
    """Shift of the detectors along their fast and slow axes that makes most phases 2 pi r . v small.

    Parameters
    ----------
    sweeps : Experiments
    table : ReflectionTable
        Prepared spots (s1, imageset_id, xyzobs.mm.value).
    vectors : (m, 3) float64, angstrom
        Vectors found with the geometry as it is: differences of points, and so the vectors, hardly feel the shift.

    Returns
    -------
    (float, float)
        mm.

    Notes
    -----
    After Sauter, Grosse-Kunstleve & Adams (2004), J. Appl. Cryst. 37, 399-409, without a histogram: the score is the mean
    of cos(2 pi r . v). In rotation data a shift is no lattice translation, so that the maximum is unique.
    """
    rows = np.random.default_rng(42).permutation(len(table))[:N_SPOTS]
    spots = table.select(np.sort(rows))
    vectors = vectors[:N_VECTORS]
    wavelength = sweeps[0].beam.wavelength
    distance = abs(float(sweeps[0].detector[0].directed_distance))
    period = wavelength * distance / float(np.linalg.norm(vectors, axis=1).max())
    step = float(np.clip(STEP * period, 0.05, 0.5))
    n = int(np.ceil(SCOPE_MM / step))
    centre, spread = np.zeros(2), step * np.arange(-n, n + 1)
    for _ in range(2):
        shifts = np.stack(np.meshgrid(spread, spread, indexing="ij"), axis=-1).reshape(-1, 2) + centre
        scores = _scores(sweeps, spots, vectors, shifts)
        centre = shifts[int(np.argmax(scores))]
        spread = step / 4 * np.arange(-4, 5)
    return float(centre[0]), float(centre[1])


def _scores(sweeps: Experiments, spots: ReflectionTable, vectors: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Sum over spots and vectors of cos(2 pi r . v) for each shift (k, 2) in mm."""
    total = np.zeros(len(shifts))
    for number, sweep in enumerate(sweeps):
        own = spots.select(spots["imageset_id"] == number)
        if len(own) == 0 or sweep.goniometer is None:
            continue
        panel = own["panel"].astype(np.int64)
        lab = sweep.detector.lab_coordinate(panel, own["xyzobs.mm.value"][:, :2])
        fast, slow = sweep.detector[0].fast_axis, sweep.detector[0].slow_axis
        back = sweep.goniometer.setting_rotation
        phi = own["xyzobs.mm.value"][:, 2]
        for k, (x, y) in enumerate(shifts):
            ray = lab + x * fast + y * slow
            q = ray / (np.linalg.norm(ray, axis=1)[:, None] * sweep.beam.wavelength) - sweep.beam.s0
            datum = rotate_about(np.ascontiguousarray(q @ back), sweep.goniometer.rotation_axis, -phi)
            turns = (datum @ sweep.goniometer.fixed_rotation).astype(np.float32) @ vectors.T.astype(np.float32)
            total[k] += float(np.cos(2 * np.pi * (turns - np.rint(turns))).sum())
    return total


def shifted(sweeps: Experiments, shift: tuple[float, float]) -> Experiments:
    """The sweeps with all panels moved along the fast and slow axes of the first panel (mm)."""
    for detector in sweeps.unique("detector"):
        move = shift[0] * detector[0].fast_axis + shift[1] * detector[0].slow_axis
        panels = tuple(replace(panel, origin=panel.origin + move) for panel in detector)
        sweeps = sweeps.with_model(detector, Detector(panels))
    return sweeps
