"""Predicted positions of all indexed reflections with refined models."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable

from . import selection
from .problem import Problem
from .target import Observations, Target


def predicted_table(
    table: ReflectionTable, problem: Problem, x: np.ndarray, experiments: Experiments, everything: Observations
) -> ReflectionTable:
    """The table with predictions of all indexed rows and cleared flags."""
    table = table.view()
    layout = problem.layout(per_image=True)
    evaluation = Target(problem, everything, layout=layout).evaluate(x, gradients=False)
    hit = evaluation.predicted
    rows = everything.rows
    refined_mm = everything.observed + evaluation.residuals
    refined_mm[~hit] = 0.0
    cal_px = np.zeros_like(refined_mm)
    s1 = np.zeros_like(refined_mm)
    for i, experiment in enumerate(experiments):
        own = hit & (everything.experiment == i) if len(experiments) > 1 else hit
        panel, mm = everything.panel[own], refined_mm[own]
        cal_px[own, :2] = experiment.detector.mm_to_pixel(panel, mm[:, :2])
        if not problem.stills:
            cal_px[own, 2] = experiment.known_scan.array_index_from_angle(mm[:, 2])
    s1[hit] = selection.observed_rays(
        experiments, everything.experiment[hit], everything.panel[hit], refined_mm[hit, :2]
    )
    observed = selection.observed_positions(
        experiments, everything.experiment, everything.panel, table["xyzobs.px.value"][rows], problem.stills
    )

    def put(name: str, values: np.ndarray, shape: tuple[int, ...] = ()) -> None:
        column = table[name].copy() if name in table else np.zeros((len(table), *shape), dtype=values.dtype)
        column[rows] = values
        table[name] = column

    if problem.stills:
        put("delpsical.rad", refined_mm[:, 2])
        refined_mm[:, 2] = 0.0
    else:
        put("entering", everything.entering)
    put("xyzcal.mm", refined_mm, (3,))
    put("xyzcal.px", cal_px, (3,))
    put("s1", s1, (3,))
    put("xyzobs.mm.value", observed, (3,))
    flags = table["flags"].copy()
    clear = Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
    flags[rows] &= ~np.uint64(int(clear))
    flags[rows[hit]] |= np.uint64(int(Flag.PREDICTED))
    table["flags"] = flags
    return table
