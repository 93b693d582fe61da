"""Which reflections tell the cell, and the angle that each was observed at."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import BAD_FOR_SCALING, INTEGRATED, Flag, ReflectionTable

__all__ = ["observed_two_theta", "select"]

CLOSE_TO_SPINDLE = 0.02  # 1/angstrom^2, |(s1 x s0) . axis|: as in refinement


def select(experiments: Experiments, table: ReflectionTable, params: Any, log: logging.Logger) -> ReflectionTable:
    """The reflections to refine against, with xyzobs.mm.value and s1 from it.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
    params : Params
        The scope ``refinement`` of the program.
    log : logging.Logger

    Raises
    ------
    UserError
        If nothing is left; it says which step left nothing.
    """
    if "xyzobs.mm.value" not in table:
        if "xyzobs.px.value" not in table:
            raise UserError(
                "two_theta_refine: the reflections have no observed positions (column xyzobs.mm.value); give those of spindle index, "
                "refine, integrate or scale"
            )
        table = add_observed_geometry(experiments, table)
    flags = table["flags"]
    kept = (table["id"] >= 0) & (table["id"] < len(experiments)) & np.any(table["miller_index"] != 0, axis=1)
    table = _narrowed(table, kept, "indexed", log)
    if params.filter_integrated_centroids:
        table = _integrated(table, log)
    if "inverse_scale_factor" in table:
        kept = (table["inverse_scale_factor"] > 0) & ~table.has_flags(BAD_FOR_SCALING, all=False)
        if "partiality" in table and params.partiality_threshold is not None:
            kept &= table["partiality"] >= params.partiality_threshold
        table = _narrowed(table, kept, "good enough to be scaled", log)
    flags = table["flags"]
    bad = np.uint64(int(Flag.OVERLOADED | Flag.NOT_SUITABLE_FOR_REFINEMENT))
    table = _narrowed(table, (flags & bad) == 0, "neither overloaded nor unsuitable", log)
    kept = np.ones(len(table), bool)
    s1 = np.zeros((len(table), 3))
    for number, rows in table.rows_by_experiment().items():
        s1[rows] = _beams(experiments[number], table, rows)
        kept[rows] = _well_measured(experiments[number], s1[rows], table["xyzobs.mm.value"][rows, 2])
    table = table.view()
    table["s1"] = s1
    return _narrowed(table, kept, "within the scan and not close to the rotation axis", log)


def observed_two_theta(experiments: Experiments, table: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
    """Angles (n,) in radians between the incident beam and the observed spots, and wavelengths (n,) in angstrom."""
    angle, wavelength = np.zeros(len(table)), np.ones(len(table))
    for number, rows in table.rows_by_experiment().items():
        s0, s1 = experiments[number].beam.s0, table["s1"][rows]
        # of the sum and the difference of unit vectors: exact for small angles, too
        u, v = s0 / np.linalg.norm(s0), s1 / np.linalg.norm(s1, axis=1)[:, None]
        angle[rows] = 2.0 * np.arctan2(np.linalg.norm(v - u, axis=1), np.linalg.norm(v + u, axis=1))
        wavelength[rows] = experiments[number].beam.wavelength
    return angle, wavelength


def _narrowed(table: ReflectionTable, kept: np.ndarray, what: str, log: logging.Logger) -> ReflectionTable:
    n = int(kept.sum())
    if n == 0:
        raise UserError(
            f"two_theta_refine: none of {len(kept)} reflections is {what}; give indexed reflections with the experiments that belong to them"
        )
    if n < len(kept):
        log.info("%d of %d reflections are %s", n, len(kept), what)
    return table.select(kept)


def _integrated(table: ReflectionTable, log: logging.Logger) -> ReflectionTable:
    """Strong ones of the integrated reflections, if any is integrated: with both methods, or else with either."""
    integrated = table.has_flags(INTEGRATED)
    if not integrated.any():
        integrated = table.has_flags(INTEGRATED, all=False)
    if not integrated.any():
        return table
    return _narrowed(table, integrated & table.has_flags(Flag.STRONG), "integrated and strong", log)


def _beams(experiment: Experiment, table: ReflectionTable, rows: np.ndarray) -> np.ndarray:
    """Diffracted beams (m, 3), 1/angstrom, through the observed positions."""
    lab = experiment.detector.lab_coordinate(table["panel"][rows].astype(np.int64), table["xyzobs.mm.value"][rows, :2])
    return np.asarray(lab / (np.linalg.norm(lab, axis=1)[:, None] * experiment.beam.wavelength))


def _well_measured(experiment: Experiment, s1: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Rows within the scan that are not so close to the rotation axis that their spots are drawn out; all rows of stills."""
    if experiment.is_still:
        return np.ones(len(s1), bool)
    start, end = experiment.known_scan.oscillation_range
    across = np.abs(np.cross(s1, experiment.beam.s0) @ experiment.known_goniometer.axis_lab)
    return np.asarray((across > CLOSE_TO_SPINDLE) & (phi >= start) & (phi <= end))
