"""Prediction of stills: lattice points so near the Ewald sphere that a crystal at rest shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ModelError
from spindle.geometry.panels import rays_on_panel
from spindle.geometry.prediction_kernels import still_rays

from .scans import indices_to_resolution, prediction_table, resolution_limit

if TYPE_CHECKING:
    from spindle.models import Crystal, Experiment, Experiments
    from spindle.table import ReflectionTable

__all__ = ["predict_still", "predict_stills_for_indexed", "still_width"]

#: Half the angle through which a crystal of unknown mosaicity is seen to diffract, radians: 0.09 degrees.
UNKNOWN_MOSAICITY = 0.0015


def still_width(crystal: Crystal) -> tuple[float, float]:
    """How far from the Ewald sphere a crystal's points are seen: |delta psi| <= width + d / size.

    Parameters
    ----------
    crystal : Crystal
        Its mosaic model, where it has one, is the pair ML_half_mosaicity_deg and ML_domain_size_ang of its extra values.

    Returns
    -------
    width : float, radians
        Half the mosaic spread; 0.0015 for a crystal without mosaic model.
    inverse_size : float, 1/angstrom
        Inverse size of the mosaic blocks; 0 without mosaic model.

    Notes
    -----
    Nave (1998), Acta Cryst. D54, 848-853; Sauter et al. (2014), Acta Cryst. D70, 3299-3309. DIALS 3.12 takes half of the half width:
    of the indexed spots of five CuNiR stills that is room for 68 to 94 %, the whole of it for 97 to 100 %.
    """
    half, size = crystal.extra.get("ML_half_mosaicity_deg"), crystal.extra.get("ML_domain_size_ang")
    if half is None or size is None:
        return UNKNOWN_MOSAICITY, 0.0
    if not (size > 0 and half >= 0):
        raise ModelError(
            f"the crystal's mosaic model is a half width of {half} degrees and blocks of {size} A: positive numbers "
            "expected; index the stills again"
        )
    return float(np.deg2rad(half)), 1.0 / float(size)


def predict_still(
    experiment: Experiment, index: int = 0, d_min: float | None = None, d_max: float | None = None
) -> ReflectionTable:
    """Predict the reflections of a still.

    Parameters
    ----------
    experiment : Experiment
        With a crystal; a scan or goniometer plays no part.
    index : int
        Value of the column `id`.
    d_min, d_max : float, angstrom
        Resolution limits; None is that of the detector's corners, and no limit.

    Returns
    -------
    ReflectionTable
        miller_index, id, panel, entering (False), s1, xyzcal.mm and xyzcal.px (their third number is 0), flags, and
        delpsical.rad, the angle through which the point has to be turned to lie on the Ewald sphere.

    Raises
    ------
    ModelError
        Without crystal, or with a limit below half the wavelength.
    """
    limit = resolution_limit(experiment, d_min)
    crystal, s0 = experiment.known_crystal, experiment.beam.s0
    hkl = indices_to_resolution(experiment, limit, d_max)
    s1, turn = np.zeros((len(hkl), 3)), np.zeros(len(hkl))
    still_rays(hkl, crystal.A, s0, s1, turn)
    width, inverse_size = still_width(crystal)
    d = 1.0 / np.linalg.norm(hkl @ crystal.A.T, axis=1)
    seen = np.abs(turn) <= width + d * inverse_size  # not where the turn is not a number
    hkl, s1, turn = hkl[seen], s1[seen], turn[seen]
    nothing = np.zeros(len(hkl))
    return prediction_table(experiment, index, hkl, s1, nothing, nothing, nothing > 0, {"delpsical.rad": turn})


def predict_stills_for_indexed(experiments: Experiments, table: ReflectionTable) -> ReflectionTable:
    """A view of the table with xyzcal.mm, xyzcal.px, s1, delpsical.rad and the flag PREDICTED for the indexed spots of stills.

    A point is turned on to the Ewald sphere, however far it is, and seen on the observed panel, also outside its edges. Rows of
    scans stay as they are; rows of stills that cannot be predicted get zeros and lose the flag.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
        With id, miller_index, panel and flags.
    """
    from spindle.table import Flag

    result, n = table.view(), len(table)
    columns = {
        name: np.array(table[name]) if name in table else np.zeros((n, 3)) for name in ("xyzcal.mm", "xyzcal.px", "s1")
    }
    turns = np.array(table["delpsical.rad"]) if "delpsical.rad" in table else np.zeros(n)
    flags = table["flags"].copy()
    for number, rows in table.rows_by_experiment().items():
        if not 0 <= number < len(experiments) or not experiments[number].is_still:
            continue
        experiment, crystal = experiments[number], experiments[number].crystal
        for column in (*columns.values(), turns):
            column[rows] = 0.0
        flags[rows] &= ~np.uint64(int(Flag.PREDICTED))
        if crystal is None:
            continue
        hkl, panel = np.ascontiguousarray(table["miller_index"][rows]), table["panel"][rows].astype(np.int64)
        rays, turn, xy = np.zeros((len(rows), 3)), np.zeros(len(rows)), np.empty((len(rows), 2))
        still_rays(hkl, crystal.A, experiment.beam.s0, rays, turn)
        seen = rays_on_panel(rays, experiment.detector.geometry.D, panel, xy) & np.isfinite(turn)
        rows = rows[seen]
        columns["s1"][rows], turns[rows] = rays[seen], turn[seen]
        columns["xyzcal.mm"][rows, :2] = xy[seen]
        columns["xyzcal.px"][rows, :2] = experiment.detector.mm_to_pixel(panel[seen], xy[seen])
        flags[rows] |= np.uint64(int(Flag.PREDICTED))
    for name, values in columns.items():
        result[name] = values
    result["delpsical.rad"], result["flags"] = turns, flags
    return result
