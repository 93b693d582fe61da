"""The dose at which each observation was made."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle_lib_merging import Unmerged
from spindle_lib_radiation_damage import doses_of_sweeps

__all__ = ["doses_of"]


def doses_of(data: Unmerged, experiments: Experiments | None, params: Any, log: Any) -> tuple[np.ndarray, float, str]:
    """Dose of each observation.

    Returns
    -------
    dose : (n,) float64
        NaN for observations that are on no batch that has a dose.
    step : float
        Least difference between the doses of two images.
    source : str
        What it follows from, for the page.

    Raises
    ------
    UserError
        If doses cannot be told.
    """
    if data.sweep is not None:
        assert experiments is not None
        return _of_images(data, experiments, params.dose.experiments)
    if params.dose.batch:
        if data.batch is None:
            raise UserError(f"damage_analysis: {data.source} has no column BATCH, which dose.batch needs")
        return _of_ranges(data.batch, params.dose.batch)
    if data.dose is not None:
        known = np.unique(data.dose[np.isfinite(data.dose)])
        gaps = np.diff(known)
        return (
            data.dose,
            float(gaps[gaps > 1e-9 * max(abs(known[-1]), 1e-30)].min()) if len(gaps) else 1.0,
            "column DOSE",
        )
    if data.batch is None:
        raise UserError(
            f"damage_analysis: {data.source} has neither a column DOSE nor BATCH, so nothing is known of the dose"
        )
    if params.dose.remove_gaps:
        return np.unique(data.batch, return_inverse=True)[1].astype(np.float64), 1.0, "batches, counted without gaps"
    return data.batch.astype(np.float64), 1.0, "batch numbers"


def _of_images(data: Unmerged, experiments: Experiments, options: Any) -> tuple[np.ndarray, float, str]:
    if data.z is None:
        raise UserError("damage_analysis: the reflections have no xyzobs.px.value, so their images are not known")
    per_image, start = doses_of_sweeps(experiments, options, "dose.experiments", "damage_analysis")
    number = data.sweep
    assert number is not None
    # image 1 ends at the array index 1, and with it the first dose
    dose = np.ceil(data.z) * per_image[number] + start[number]
    least = float(per_image[per_image > 0].min())
    return dose, least, "image numbers of each sweep" + (" of one crystal" if options.shared_crystal else "")


def _of_ranges(batch: np.ndarray, ranges: Any) -> tuple[np.ndarray, float, str]:
    dose = np.full(len(batch), np.nan)
    for k, item in enumerate(ranges):
        if item.range is None or item.dose_start is None or item.dose_step is None:
            raise ParameterError(f"dose.batch[{k}]: give range=first,last, dose_start= and dose_step=")
        first, last = item.range
        if last < first:
            raise ParameterError(f"dose.batch[{k}].range={first},{last}: the last batch comes before the first")
        rows = (batch >= first) & (batch <= last)
        dose[rows] = item.dose_start + item.dose_step * (batch[rows] - first)
    steps = [float(item.dose_step) for item in ranges if item.dose_step > 0]
    if not np.isfinite(dose).any():
        raise ParameterError(
            f"dose.batch: no observation is on these batches; the file has {batch.min()} to {batch.max()}"
        )
    return dose, min(steps) if steps else 1.0, "dose.batch"
