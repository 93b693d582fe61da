"""Doses follow their data sets, whichever of these are left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_radiation_damage import doses_of_sweeps

from .data import Observations
from .params import ScaleParams

__all__ = ["kept_doses", "observed_doses", "one_dose_for_each"]

PROGRAM = "scale"


def one_dose_for_each(params: ScaleParams, experiments: Experiments) -> ScaleParams:
    """Parameters with a dose of an image and a dose at the start for each of the experiments that were given.

    What a data set has seen does not change when another one is left out, of the same crystal or not.
    """
    if not params.zero_dose.extrapolate:
        return params
    per_image, start = doses_of_sweeps(experiments, params.zero_dose, "zero_dose", PROGRAM)
    return _with(params, per_image, start)


def kept_doses(params: ScaleParams, kept: Sequence[int] | np.ndarray) -> ScaleParams:
    """Parameters with the doses of the data sets that are left: places among those before."""
    if not params.zero_dose.extrapolate:
        return params
    per_image, start = params.zero_dose.dose_per_image, params.zero_dose.starting_doses
    return _with(params, np.asarray(per_image)[kept], np.asarray(start)[kept])


def _with(params: ScaleParams, per_image: np.ndarray, start: np.ndarray) -> ScaleParams:
    return params.changed(
        {
            "zero_dose.dose_per_image": tuple(per_image.tolist()), "zero_dose.starting_doses": tuple(start.tolist()),
            "zero_dose.shared_crystal": False,
        }
    )  # fmt: skip


def observed_doses(
    experiments: Experiments, table: ReflectionTable, obs: Observations, params: ScaleParams
) -> np.ndarray:
    """(n,) float64: the dose of each observation."""
    per_image, start = doses_of_sweeps(experiments, params.zero_dose, "zero_dose", PROGRAM)
    return np.asarray(table.peek("xyzcal.px")[obs.rows, 2] * per_image[obs.number] + start[obs.number])
