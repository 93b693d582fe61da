"""Cross validation: does a modelling choice help reflections that were not used?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_image_ranges import ImageRange
from spindle_lib_merging import correlation, half_means, merge_groups

from .combine import several_of
from .course import Scaled, scale_once
from .params import ScaleParams
from .target import Target

HEADERS = ("RMSD work", "RMSD free", "Rmeas work", "Rmeas free", "CC1/2 work", "CC1/2 free")


def cross_validate(
    experiments: Experiments,
    table: ReflectionTable,
    params: ScaleParams,
    context: Any,
    exclusions: Sequence[ImageRange],
    target: Target | None = None,
) -> Table:
    """Scale with each of several free sets, for one or several values of a parameter, and tabulate the agreement.

    Returns
    -------
    Table
        Mean and standard deviation over the free sets, of used and free reflections.
    """
    options = params.cross_validation
    values: list[str | None] = [None]
    if options.cross_validation_mode == "multi":
        if options.parameter is None:
            raise ParameterError("cross_validation_mode=multi needs cross_validation.parameter, the parameter to vary")
        values = list(options.parameter_values or ["True", "False"])
    rows = []
    for value in values:
        tree = params
        if value is not None and options.parameter is not None:
            tree = params.changed({options.parameter: value}, "cross_validation.parameter_values")
        folds = np.array(
            [
                _agreement(scale_once(experiments, table, tree, context, exclusions, free_offset=k, target=target))
                for k in range(options.nfolds)
            ]
        )
        for label, numbers in (("mean", folds.mean(axis=0)), ("sd", folds.std(axis=0, ddof=0))):
            rows.append([value if value is not None else "as given", label, *(float(x) for x in numbers)])
    result = Table(
        f"Cross validation with {options.nfolds} free set(s)"
        + (f" of {options.parameter}" if values != [None] else ""),
        ["Value", "", *HEADERS],
        rows,
        "cross_validation",
    )
    context.table(result)
    return result


def _agreement(scaled: Scaled) -> list[float]:
    """RMSD, Rmeas and CC1/2 of used and of free reflections."""
    scaler = scaled.scaler
    obs = scaler.obs
    free = scaler.free[obs.groups.index]
    work_rmsd = scaler.fit.history[-1][0] if scaler.fit is not None else float("nan")
    found: list[float] = [work_rmsd, scaler.free_rmsd if scaler.free_rmsd is not None else float("nan")]
    value, variance = obs.intensity / obs.g, scaler.corrected_variance() / obs.g**2
    measures = []
    for chosen in (~free, free):
        groups = several_of(obs.groups, chosen & ~obs.outlier)
        rows = groups.order
        groups = replace(groups, order=np.arange(len(rows)), positive=groups.positive[rows])
        merged = merge_groups(groups, value[rows], variance[rows])
        n = merged.multiplicity.astype(float)
        r_meas = (np.sqrt(n / (n - 1)) * merged.deviation).sum() / max(float(merged.total.sum()), 1e-300)
        first, second = half_means(groups, value[rows], variance[rows])
        measures.append((float(r_meas), correlation(first, second)))
    return [*found, measures[0][0], measures[1][0], measures[0][1], measures[1][1]]
