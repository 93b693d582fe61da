"""Whether indices with another origin, one lattice row away, would describe the spots better.

A beam centre that is wrong by the distance between rows of spots gives indices that are all off by the same small (h, k, l).
Over a few degrees the models can bend so that this fits: cell, distance and tilts take up what is left. But a shift of the
detector is the same at all angles while a lattice vector turns with the crystal, so that right indices fit better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.geometry import rotate_about
from spindle.models import Experiments
from spindle.table import ReflectionTable

__all__ = ["OffsetTest", "Origin", "compare_origins"]

#: The mean shift must make up for at least this part of a lattice vector, and what turns away for at most that part.
LEAST_MEAN, LARGEST_SPREAD = 0.5, 0.45
#: Another origin is better beyond doubt when its misfit is this many times smaller, by this many standard deviations.
GAIN, SIGNIFICANT = 1.5, 5.0
#: Origins that are refined until nothing changes.
N_FINALISTS = 2

Refine = Callable[[Experiments, ReflectionTable], RefinementResult]


@dataclass(slots=True)
class Origin:
    """Models refined with one choice of the origin of the indices.

    Attributes
    ----------
    offset : (int, int, int)
        What was added to all indices.
    result : RefinementResult
    """

    offset: tuple[int, int, int]
    result: RefinementResult

    @property
    def misfit(self) -> float:
        """Reduced chi squared of the refinement."""
        return float(self.result.reduced_chi_squared)

    @property
    def n_reflections(self) -> int:
        """Reflections in the refinement."""
        return int(self.result.n_reflections.sum())


@dataclass(slots=True)
class OffsetTest:
    """The origin as it is and the best other one.

    Attributes
    ----------
    here : Origin
    rival : Origin or None
        None when no other origin can be meant: the rotation is too wide.
    """

    here: Origin
    rival: Origin | None

    @property
    def gain(self) -> float:
        """How many times larger the misfit is here than with the other origin; above 1 when that one fits better."""
        return 0.0 if self.rival is None else self.here.misfit / max(self.rival.misfit, 1e-12)

    @property
    def significance(self) -> float:
        """Logarithm of `gain` in standard deviations.

        The ratio of two reduced chi squared of N residuals each has a relative standard deviation of 2 / sqrt(N); it is
        smaller here, since both come from the same spots.
        """
        if self.rival is None:
            return -np.inf
        n = 3 * min(self.here.n_reflections, self.rival.n_reflections)
        return float(np.log(max(self.gain, 1e-12)) / (2 / np.sqrt(max(n, 1))))

    @property
    def is_confirmed(self) -> bool:
        """Whether the origin is right beyond doubt: no other can be meant, or all others fit worse."""
        return self.rival is None or self.significance < -SIGNIFICANT

    @property
    def is_refuted(self) -> bool:
        """Whether another origin fits better beyond doubt."""
        return self.rival is not None and self.gain > GAIN and self.significance > SIGNIFICANT


def compare_origins(
    experiments: Experiments, table: ReflectionTable, refine: Refine, reach: int = 1
) -> OffsetTest | None:
    """Refine with all indices moved by up to `reach`, where a moved detector could stand for that.

    Parameters
    ----------
    experiments : Experiments
        Scans with crystals, refined.
    table : ReflectionTable
        Indexed spots (id, miller_index, xyzobs.mm.value).
    refine : callable
        A short refinement; may raise RefinementError.
    reach : int
        Largest change of an index that is tried.

    Returns
    -------
    OffsetTest or None
        None when the models cannot be refined as they are.
    """
    try:
        here = Origin((0, 0, 0), _again(refine, refine(experiments, table), table))
    except RefinementError:
        return None
    rivals = []
    steps = range(-reach, reach + 1)
    for offset in ((h, k, l) for h in steps for k in steps for l in steps):
        if not any(offset):
            continue
        start = _moved_detectors(experiments, table, np.array(offset, dtype=np.float64))
        if start is None:
            continue
        moved = _with_offset(table, offset)
        try:
            rivals.append((Origin(offset, refine(start, moved)), moved))
        except RefinementError:
            continue
    rivals = [r for r in rivals if r[0].n_reflections > 0.8 * here.n_reflections]
    rivals.sort(key=lambda r: r[0].misfit)
    finalists = []
    for origin, moved in rivals[:N_FINALISTS]:
        try:
            finalists.append(Origin(origin.offset, _again(refine, origin.result, moved)))
        except RefinementError:
            finalists.append(origin)
    return OffsetTest(here, min(finalists, key=lambda o: o.misfit, default=None))


def _again(refine: Refine, result: RefinementResult, table: ReflectionTable) -> RefinementResult:
    return refine(result.experiments, table)


def _with_offset(table: ReflectionTable, offset: tuple[int, int, int]) -> ReflectionTable:
    moved = table.view()
    moved["miller_index"] = (table["miller_index"] + np.array(offset)).astype(np.int32)
    return moved.select(np.any(moved["miller_index"] != 0, axis=1))


def _moved_detectors(experiments: Experiments, table: ReflectionTable, offset: np.ndarray) -> Experiments | None:
    """Detectors moved to where the spots have the new indices on average; None when that is far from all of them."""
    moved = experiments
    owner, phi = table["id"], table["xyzobs.mm.value"][:, 2]
    for detector in experiments.unique("detector"):
        users = experiments.indices_with("detector", detector)
        beam = experiments[users[0]].beam
        unit = beam.s0 / np.linalg.norm(beam.s0)
        vectors = np.concatenate(
            [_in_laboratory(experiments[i], offset, phi[owner == i]) for i in users if np.any(owner == i)]
            or [np.zeros((0, 3))]
        )
        if len(vectors) == 0:
            continue
        length = float(np.linalg.norm(vectors, axis=1).mean())
        across = vectors - (vectors @ unit)[:, None] * unit
        mean = across.mean(axis=0)
        spread = float(np.sqrt(np.mean(np.sum((across - mean) ** 2, axis=1))))
        if np.linalg.norm(mean) < LEAST_MEAN * length or spread > LARGEST_SPREAD * length:
            return None
        distance = float(np.mean([abs(p.directed_distance) for p in detector]))
        shift = mean * beam.wavelength * distance
        panels = [replace(panel, origin=panel.origin + shift) for panel in detector]
        moved = moved.with_model(detector, detector.replace_panels(panels))
    return moved


def _in_laboratory(experiment: object, offset: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """(n, 3) 1/angstrom: a reciprocal lattice vector as it is turned when each spot diffracts."""
    goniometer, crystal = experiment.goniometer, experiment.crystal  # type: ignore[attr-defined]
    vector = goniometer.fixed_rotation @ (crystal.A @ offset)
    turned = rotate_about(np.tile(vector, (len(phi), 1)), goniometer.rotation_axis, np.ascontiguousarray(phi))
    return np.asarray(turned @ goniometer.setting_rotation.T)
