"""Which experiments are kept, and in which order."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable
from spindle_lib_selection.significance import significance

__all__ = ["chosen_experiments", "d_spacings", "image_order"]


def chosen_experiments(
    experiments: Experiments, counts: np.ndarray, table: ReflectionTable | None, params: Any, context: Any
) -> list[int]:
    """Places of the experiments that are kept, ascending.

    Parameters
    ----------
    experiments : Experiments
    counts : (n_experiments,) int64
        Reflections of each.
    table : ReflectionTable or None
    params : Params
        Scope ``output``.
    context : RunContext

    Raises
    ------
    ParameterError
        If a choice by reflections is asked for and there are none.
    """
    needs = [n for n in ("min_reflections_per_experiment", "max_reflections_per_experiment") if getattr(params, n)]
    needs += ["n_subset_method"] if params.n_subset is not None and params.n_subset_method != "random" else []
    if needs and table is None:
        raise ParameterError(f"output.{needs[0]}={getattr(params, needs[0])}: give the reflections too")
    if params.n_refl_panel_list is not None and (params.n_subset is None or params.n_subset_method != "n_refl"):
        raise ParameterError("output.n_refl_panel_list= is for n_subset= with n_subset_method=n_refl; set them too")
    kept = np.arange(len(experiments))
    for name, bound, wrong in (
        ("fewer", params.min_reflections_per_experiment, np.less),
        ("more", params.max_reflections_per_experiment, np.greater),
    ):
        if bound is not None and table is not None:
            leave = wrong(counts[kept], bound)
            if leave.any():
                context.log.info(
                    "%d experiments with %s than %d reflections are left out", np.count_nonzero(leave), name, bound
                )
            kept = kept[~leave]
    if not len(kept):
        raise ParameterError(
            "no experiment is left; change output.min_reflections_per_experiment= or max_reflections_per_experiment="
        )
    if params.n_subset is None:
        return list(kept.tolist())
    return _subset(kept, experiments, counts, table, params, context)


def _subset(
    kept: np.ndarray,
    experiments: Experiments,
    counts: np.ndarray,
    table: ReflectionTable | None,
    params: Any,
    context: Any,
) -> list[int]:
    """``n_subset`` of the experiments, by the method that is asked for; ties go to the first."""
    n, method = params.n_subset, params.n_subset_method
    if n >= len(kept):
        context.log.info("There are %d experiments, all of them are in the subset of %d", len(kept), n)
        return list(kept.tolist())
    if method == "random":
        context.log.info("%d of %d experiments are taken at random (run.seed=%d)", n, len(kept), context.seed)
        return sorted(context.rng.choice(kept, n, replace=False).tolist())
    assert table is not None
    rows = np.ones(len(table), bool)
    if method == "n_refl" and params.n_refl_panel_list is not None:
        rows = np.isin(table["panel"], params.n_refl_panel_list)
    elif method == "significance_filter":
        rows, _ = significance(table, params.significance_filter, d_spacings(table, experiments))
    ids = table["id"][rows]
    number = np.bincount(ids[ids >= 0], minlength=len(experiments))[kept]
    best = kept[np.argsort(-number, kind="stable")[:n]]
    context.log.info(
        "The %d of %d experiments with the most reflections%s are taken: %d of the last of them, %d at most of the others",
        n,
        len(kept),
        {"n_refl": "", "significance_filter": " within the significance filter"}[method],
        np.sort(number)[::-1][n - 1],
        np.sort(number)[::-1][n],
    )
    return sorted(best.tolist())


def d_spacings(table: ReflectionTable, experiments: Experiments) -> np.ndarray:
    """(n,) float64, angstrom: the column ``d``, else from Miller indices and cells; infinite where there is no index.

    Raises
    ------
    ParameterError
        If the table has neither.
    """
    if "d" in table:
        return np.asarray(table["d"])
    if "miller_index" not in table:
        raise ParameterError(
            "the significance filter needs intensities of indexed reflections, these have neither d nor miller_index"
        )
    A = np.array([np.eye(3) if e.crystal is None else e.crystal.A for e in experiments])
    d = np.full(len(table), np.inf)
    hkl = table["miller_index"].astype(np.float64)
    rows = np.flatnonzero((table["id"] >= 0) & hkl.any(axis=1))
    if len(rows):
        d[rows] = 1.0 / np.linalg.norm(np.einsum("nij,nj->ni", A[table["id"][rows]], hkl[rows]), axis=1)
    return d


def image_order(experiments: Experiments, places: list[int]) -> list[int]:
    """Places in the order of image files and numbers."""

    def key(place: int) -> tuple[str, int, int]:
        item: Experiment = experiments[place]
        imageset = item.imageset
        path = "" if imageset is None else imageset.template or (imageset.paths[0] if imageset.paths else "")
        frame = 0 if imageset is None or not imageset.single_file_indices else imageset.single_file_indices[0]
        return path, frame if item.scan is None else item.scan.image_range[0], place

    return sorted(places, key=key)
