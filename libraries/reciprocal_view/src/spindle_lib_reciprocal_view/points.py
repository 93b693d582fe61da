"""Spots in the reciprocal space of the crystal, with all that the page filters and colours by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spindle.errors import ParameterError, UserError
from spindle.models import Experiment, Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import INTEGRATED, Flag, MaskCode, ReflectionTable
from spindle_lib_spots.sweeps import join_tables, sweeps_of

__all__ = ["Points", "displaced", "points_of", "reversed_axis"]

INDEXED_BIT, INTEGRATED_BIT, OUTLIER_BIT = 1, 2, 4
UNKNOWN = -1.0


@dataclass(frozen=True)
class Points:
    """Columns of the points.

    Attributes
    ----------
    position : (n, 3) float64, 1/angstrom
    lattice : (n,) int64
        Experiment, -1 for spots without.
    z : (n,) float64
        Array index; 0 for stills.
    pixels, partiality : (n,) float64
        -1 where unknown.
    status : (n,) uint8
        Bits: indexed, integrated, outlier of refinement.
    hkl : (n, 3) int16
    lab : (n, 3) float64, mm
        Where the detector was hit.
    sweep : (n,) int64
        Number of the sweep, as `spindle_lib_spots.sweeps.sweeps_of` has them.
    intensity : (n,) float64
        -1 where unknown.
    """

    position: np.ndarray
    lattice: np.ndarray
    z: np.ndarray
    pixels: np.ndarray
    partiality: np.ndarray
    status: np.ndarray
    hkl: np.ndarray
    lab: np.ndarray
    sweep: np.ndarray
    intensity: np.ndarray


def reversed_axis(experiment: Experiment) -> Experiment:
    """The experiment with its rotation the other way round; stills stay."""
    goniometer = experiment.goniometer
    if goniometer is None:
        return experiment
    turned = replace(
        goniometer, rotation_axis=-goniometer.rotation_axis, axes=None, angles_deg=None, names=None, scan_axis=None
    )
    return replace(experiment, goniometer=turned)


def displaced(experiment: Experiment, centre: tuple[float, float], panel: int | None) -> Experiment:
    """The experiment with its detector moved, so that the beam crosses a panel at `centre` (mm, fast and slow)."""
    detector, s0 = experiment.detector, experiment.beam.s0
    if panel is None:
        hit = detector.beam_centre(s0)
        panel = 0 if hit is None else hit[0]
    if panel >= len(detector):
        raise ParameterError(f"beam_centre_panel={panel}: the detector has {len(detector)} panels, counted from 0")
    v = detector.D[panel] @ s0
    if v[2] <= 0:
        raise ParameterError(
            f"beam_centre: the beam does not cross panel {panel}; choose another with beam_centre_panel="
        )
    shift = v[:2] / v[2] - np.array(centre)
    d = detector.d.copy()
    d[:, :, 2] += d[panel, :, :2] @ shift
    return replace(experiment, detector=detector.with_frames(d))


def points_of(experiments: Experiments, tables: Sequence[ReflectionTable]) -> Points:
    """All spots of several tables.

    Parameters
    ----------
    experiments : Experiments
    tables : sequence of ReflectionTable
        With observed positions, or else calculated ones.
    """
    sweeps = sweeps_of(experiments)[0]
    prepared = [_with_positions(table) for table in tables]
    table = join_tables(prepared, experiments)
    lattice = _lattices(table, experiments)
    position = add_observed_geometry(sweeps, table, "imageset_id")["rlp"]
    n = len(table)
    hkl = table["miller_index"] if "miller_index" in table else np.zeros((n, 3), np.int32)
    flags = table["flags"] if "flags" in table else np.zeros(n, np.uint64)
    indexed = (lattice >= 0) & np.any(hkl != 0, axis=1)
    status = np.zeros(n, np.uint8)
    status[indexed] |= INDEXED_BIT
    status[(flags & np.uint64(int(INTEGRATED))) != 0] |= INTEGRATED_BIT
    status[(flags & np.uint64(int(Flag.CENTROID_OUTLIER))) != 0] |= OUTLIER_BIT
    partiality = table["partiality"] if "partiality" in table else np.full(n, UNKNOWN)
    sweep = np.clip(table["imageset_id"], 0, max(len(sweeps) - 1, 0)).astype(np.int64)
    return Points(
        position, np.where(indexed, lattice, -1), table["xyzobs.px.value"][:, 2], _pixels(table), partiality, status,
        np.clip(hkl, -32768, 32767).astype(np.int16), _hits(sweeps, table), sweep, _intensities(table),
    )  # fmt: skip


def _hits(sweeps: Experiments, table: ReflectionTable) -> np.ndarray:
    """(n, 3) float64, mm: laboratory places of the spots."""
    found = np.zeros((len(table), 3))
    for number, experiment in enumerate(sweeps):
        rows = np.flatnonzero(table["imageset_id"] == number)
        if len(rows):
            panel = table["panel"][rows].astype(np.int64)
            found[rows] = experiment.detector.lab_coordinate_of_pixel(panel, table["xyzobs.px.value"][rows, :2])
    return found


def _intensities(table: ReflectionTable) -> np.ndarray:
    """(n,) the best intensity that the table has; -1 where it has none."""
    for name in ("intensity.scale.value", "intensity.prf.value", "intensity.sum.value"):
        if name in table:
            return np.asarray(table[name], dtype=np.float64)
    return np.full(len(table), UNKNOWN)


def _with_positions(table: ReflectionTable) -> ReflectionTable:
    """The table with observed positions: calculated ones where nothing was observed."""
    observed, calculated = table.get("xyzobs.px.value"), table.get("xyzcal.px")
    if observed is None and calculated is None:
        raise UserError(
            "reciprocal_lattice_viewer: the reflections have no positions (column xyzobs.px.value); give a file of spindle find_spots, "
            "index, refine, integrate or predict"
        )
    view = table.view()
    if observed is None:
        view["xyzobs.px.value"] = calculated
    elif calculated is not None:
        view["xyzobs.px.value"] = np.where(np.any(observed != 0, axis=1)[:, None], observed, calculated)
    if "xyzobs.px.variance" not in view:
        view["xyzobs.px.variance"] = np.zeros((len(view), 3))
    if "panel" not in view:
        view["panel"] = np.zeros(len(view), np.uint64)
    return view


def _lattices(table: ReflectionTable, experiments: Experiments) -> np.ndarray:
    """(n,) experiments of the rows; -1 of those that belong to none, or to one without crystal."""
    if "id" not in table:
        return np.full(len(table), -1, np.int64)
    has_crystal = np.array([e.crystal is not None for e in experiments] + [False])  # the last is that of -1
    ids = np.where((table["id"] >= 0) & (table["id"] < len(experiments)), table["id"], -1)
    return np.where(has_crystal[ids], ids, -1).astype(np.int64)


def _pixels(table: ReflectionTable) -> np.ndarray:
    """(n,) pixels of each spot; -1 where the table does not tell."""
    for name in ("n_signal", "num_pixels.foreground"):
        if name in table:
            return np.asarray(table[name], dtype=np.float64)
    if "shoebox" not in table:
        return np.full(len(table), UNKNOWN)
    boxes = table["shoebox"]
    strong = np.concatenate([[0], np.cumsum((boxes.mask & MaskCode.STRONG) != 0)])
    return np.asarray(strong[boxes.offsets[1:]] - strong[boxes.offsets[:-1]], dtype=np.float64)
