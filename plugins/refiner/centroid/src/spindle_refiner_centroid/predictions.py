"""Predicted positions of all indexed reflections with refined models."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable, rows_by_value

from . import selection
from .problem import Problem
from .target import Observations, Target

BLOCK = 2**17  # reflections whose positions are worked out at a time


def predicted_table(
    table: ReflectionTable, problem: Problem, x: np.ndarray, experiments: Experiments, everything: Observations
) -> ReflectionTable:
    """The table with predictions of all indexed rows and cleared flags."""
    table = table.view()
    layout = problem.layout(per_image=True)
    evaluation = Target(problem, everything, layout=layout).evaluate(x, gradients=False)
    hit, residuals = evaluation.predicted, evaluation.residuals
    rows = everything.rows

    def column(name: str, shape: tuple[int, ...] = (), dtype: type = np.float64) -> np.ndarray:
        """What the table has, read for this one purpose."""
        old = table.peek(name) if name in table else None
        return np.zeros((len(table), *shape), dtype) if old is None else np.array(old)

    new = {name: column(name, (3,)) for name in ("xyzcal.mm", "xyzcal.px", "s1", "xyzobs.mm.value")}
    psi = column("delpsical.rad") if problem.stills else None
    for start in range(0, len(rows), BLOCK):
        here = slice(start, start + BLOCK)
        found, owner, panel, at = hit[here], everything.experiment[here], everything.panel[here], rows[here]
        refined_mm = everything.observed[here] + residuals[here]
        refined_mm[~found] = 0.0
        cal_px, s1 = np.zeros_like(refined_mm), np.zeros_like(refined_mm)
        for i, mine in rows_by_value(owner).items():
            own = mine[found[mine]]
            cal_px[own, :2] = experiments[i].detector.mm_to_pixel(panel[own], refined_mm[own, :2])
            if not problem.stills:
                cal_px[own, 2] = experiments[i].known_scan.array_index_from_angle(refined_mm[own, 2])
        s1[found] = selection.observed_rays(experiments, owner[found], panel[found], refined_mm[found, :2])
        if psi is not None:
            psi[at] = refined_mm[:, 2]
            refined_mm[:, 2] = 0.0
        observed = selection.observed_positions(experiments, owner, panel, table["xyzobs.px.value"][at], problem.stills)
        for name, values in zip(new, (refined_mm, cal_px, s1, observed), strict=True):
            new[name][at] = values
    for name, values in new.items():
        table[name] = values
    if psi is not None:
        table["delpsical.rad"] = psi
    else:
        entering = column("entering", dtype=np.bool_)
        entering[rows] = everything.entering
        table["entering"] = entering
    flags = table["flags"].copy()
    clear = Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
    flags[rows] &= ~np.uint64(int(clear))
    flags[rows[hit]] |= np.uint64(int(Flag.PREDICTED))
    table["flags"] = flags
    return table
