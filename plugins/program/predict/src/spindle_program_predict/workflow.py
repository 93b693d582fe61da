"""Predictions of all experiments, with bounding boxes where profile models are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import PluginError, UserError
from spindle.models import Experiments
from spindle.prediction import predict, predict_for_indexed, predict_stills_for_indexed
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_selection.parts import join

from .buffer import extended

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiment

__all__ = ["predict_all"]

BORDER = 2.0  # widths of a bounding box in those of the foreground, as spindle integrate has them


def predict_all(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Predict as the parameters say; see the program."""
    experiments = _checked(inputs, params)
    experiments, profiles = _profiles(experiments, params, context)
    if inputs.reflections:
        table = _of_reflections(experiments, inputs.reflections, params, context)
    else:
        table = _of_indices(experiments, profiles, params, context)
    table = _with_boxes(experiments, profiles, table, params, context)
    summary = _report(experiments, table, params, context)
    return ProgramResult(reflections=table, summary=summary, next_step=f"spindle show {params.output}")


def _checked(inputs: ProgramInputs, params: Any) -> Experiments:
    """The experiments, which need a crystal each."""
    experiments = inputs.experiments
    if not experiments:
        raise UserError(
            "predict: give experiments with crystals, e.g. spindle predict refined.expt (spindle index and refine write them)"
        )
    without = [i for i, e in enumerate(experiments) if e.crystal is None]
    if without:
        raise UserError(
            f"predict: experiment {without[0]} has no crystal ({len(without)} of {len(experiments)} have none); run spindle index first"
        )
    if params.d_min is not None and params.d_max is not None and params.d_min >= params.d_max:
        raise UserError(
            f"predict: d_min={params.d_min:g} and d_max={params.d_max:g}: d_min, the high resolution limit, is the smaller of the two"
        )
    _check_buffer(experiments, params.buffer_size)
    return experiments


def _check_buffer(experiments: Experiments, n: int) -> None:
    """Refuse images beside the scan where there is none, and more of them than a turn has."""
    widths = [e.known_scan.oscillation_deg[1] for e in experiments if not e.is_still]
    if n and not widths:
        raise UserError(f"predict: buffer_size={n}: stills have no images before and after; leave it out")
    if n * max(widths, default=0.0) > 360.0:
        raise UserError(
            f"predict: buffer_size={n} images of {max(widths):g} degrees are more than a turn; at most {360 / max(widths):.0f} make sense"
        )


def _profiles(experiments: Experiments, params: Any, context: RunContext) -> tuple[Experiments, list[Any]]:
    """The experiments with the profile models that the parameters make, and the plugin of each model (None without)."""
    chosen = context.chosen(params.profile)
    missing = [i for i, e in enumerate(experiments) if not e.profile]
    if missing:
        try:
            bare = Experiments(experiments[i] for i in missing)
            models = chosen.estimate_profiles(experiments=bare, reflections=ReflectionTable())
        except UserError:  # it needs spots to tell
            models = [None] * len(missing)
        made = dict(zip(missing, models, strict=True))
        experiments = Experiments(replace(e, profile=made.get(i, e.profile)) for i, e in enumerate(experiments))
    plugins: dict[str, Any] = {str(params.profile.algorithm): chosen}
    for name in dict.fromkeys(str(e.profile.get("__id__")) for e in experiments if e.profile):
        if name in plugins:
            continue
        try:
            plugins[name] = context.algorithm("profile", name)
        except PluginError as error:
            context.log.warning("Reflections are predicted without the profile model %s: %s", name, error)
    return experiments, [plugins.get(str(e.profile.get("__id__"))) if e.profile else None for e in experiments]


def _of_indices(experiments: Experiments, profiles: list[Any], params: Any, context: RunContext) -> ReflectionTable:
    """All reflections between the resolution limits."""
    tables = []
    with context.progress("predicting", len(experiments)) as progress:
        for i, (experiment, profile) in enumerate(zip(experiments, profiles, strict=True)):
            width = 0.0 if experiment.scan is None else experiment.scan.oscillation[1]
            limits = (params.d_min, params.d_max, params.buffer_size * width)
            if profile is None:
                table = predict(experiment, 0, *limits, params.force_static)
            else:
                table = profile.predict_reflections(Experiments([experiment]), *limits, params.force_static)
            table = table.view()
            table["id"] = np.full(len(table), i, np.int32)
            table.identifiers = {i: experiment.identifier}
            tables.append(table)
            progress.advance(1)
    return ReflectionTable.concatenate(tables)


def _of_reflections(
    experiments: Experiments, tables: list[ReflectionTable], params: Any, context: RunContext
) -> ReflectionTable:
    """The indexed reflections that were given, between the limits, where the models have them."""
    if params.buffer_size:
        raise UserError(
            "predict: buffer_size is for predictions of all reflections; leave it out where reflections are given, or leave these out"
        )
    table = join(tables)
    assert table is not None
    n = len(table)
    indexed = (table["id"] >= 0) & np.any(table["miller_index"] != 0, axis=1)
    table = table.select(indexed)
    table.identifiers = {i: experiments[i].identifier for i in np.unique(table["id"]).tolist()}
    if params.force_static:
        static = [
            e if e.crystal is None else replace(e, crystal=replace(e.crystal, A_at_scan_points=None))
            for e in experiments
        ]
        experiments = Experiments(static)
    d = np.zeros(len(table))
    for number, rows in table.rows_by_experiment().items():
        d[rows] = 1.0 / np.linalg.norm(table["miller_index"][rows] @ experiments[number].known_crystal.A.T, axis=1)
    table = table.select((d >= (params.d_min or 0.0)) & (d <= (params.d_max or np.inf)))
    if any(not e.is_still for e in experiments) or not any(e.is_still for e in experiments):
        table = predict_for_indexed(experiments, table)
    if any(e.is_still for e in experiments):
        table = predict_stills_for_indexed(experiments, table)
    found = table.has_flags(Flag.PREDICTED)
    context.log.info(
        "%d of %d reflections are indexed and within the limits; the models predict %d", len(table), n, found.sum()
    )
    return table.select(found)


def _with_boxes(
    experiments: Experiments, profiles: list[Any], table: ReflectionTable, params: Any, context: RunContext
) -> ReflectionTable:
    """The table with bounding boxes, if all experiments have a profile model."""
    without = [i for i, profile in enumerate(profiles) if profile is None]
    if without:
        which = "no experiment has" if len(without) == len(profiles) else f"experiment {without[0]} does not have"
        context.log.info("There are no bounding boxes (column bbox): %s a profile model that makes them", which)
        return table.without("bbox") if "bbox" in table else table
    wider = [extended(e, params.buffer_size) for e in experiments]
    boxes = np.zeros((len(table), 6), np.int32)
    rows_of = table.rows_by_experiment()
    for i, rows in rows_of.items():
        part = table.select(rows)
        part["id"] = np.zeros(len(rows), np.int32)
        part.identifiers = {0: experiments[i].identifier}
        boxes[rows] = profiles[i].bounding_boxes(Experiments([wider[i]]), part, BORDER)
    table = table.view()
    table["bbox"] = boxes
    return table


def _kind(experiment: Experiment, force_static: bool) -> str:
    """What an experiment is to the prediction."""
    if experiment.is_still:
        return "still"
    crystal = experiment.known_crystal
    varying = (
        crystal.A_at_scan_points is not None
        or experiment.beam.s0_at_scan_points is not None
        or experiment.known_goniometer.setting_rotation_at_scan_points is not None
    )
    return "scan-varying" if varying and not force_static else "static"


def _report(experiments: Experiments, table: ReflectionTable, params: Any, context: RunContext) -> dict[str, Any]:
    """Print how many reflections each experiment has; the key numbers."""
    counts = np.bincount(table["id"], minlength=len(experiments)) if len(table) else np.zeros(len(experiments), int)
    rows_of = table.rows_by_experiment()
    rows: list[list[Any]] = []
    least = np.inf
    for i, experiment in enumerate(experiments):
        hkl = table["miller_index"][rows_of.get(i, np.zeros(0, np.int64))]
        d = 1.0 / np.linalg.norm(hkl @ experiment.known_crystal.A.T, axis=1) if len(hkl) else np.zeros(0)
        least = min(least, d.min(initial=np.inf))
        images = 1 if experiment.scan is None else experiment.scan.n_images
        limits = f"{d.max():.2f} - {d.min():.2f}" if len(d) else None
        rows.append([i, _kind(experiment, params.force_static), images, int(counts[i]), limits])
    if len(rows) > 40:
        context.log.info("The first 40 of %d experiments:", len(rows))
    context.table(
        Table(
            "Predicted reflections", ["Experiment", "crystal", "images", "reflections", "d (A)"], rows[:40], "predicted"
        )
    )
    empty = int(np.sum(counts == 0))
    if empty:
        context.log.warning(
            "%d of %d experiments have no predicted reflection; check d_min, the orientation and the width of the scan",
            empty,
            len(rows),
        )
    context.log.info("Predicted %d reflections", len(table))
    return {
        "n_predicted": len(table),
        "n_predicted_by_experiment": counts.tolist(),
        "d_min": float(least) if np.isfinite(least) else None,
    }
