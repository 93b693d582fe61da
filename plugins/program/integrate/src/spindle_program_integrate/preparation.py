"""From models and observed spots to predictions with boxes: what is known before images are read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.models import Experiments
from spindle.report import DETAIL
from spindle.table import Flag, ReflectionTable
from spindle_lib_spots.reference import INHERITED

from .filters import only_rows, sample
from .growing import Growing
from .matching import Observed, find_observed
from .predictions import Map, Predictions, recorded_on_images, with_geometry
from .shifts import Shifts, learn_shifts

__all__ = ["Prepared", "prepare", "with_profiles"]

LEAST_RECORDED = (
    0.001  # of a spot; those of which images hold less are of the padding: their boxes are at an end of the scan
)
MOST_LINES = 3  # experiments of which each is told of by itself


@dataclass(frozen=True)
class Prepared:
    """What is to be measured.

    Attributes
    ----------
    experiments : Experiments
        With profile models.
    predicted : ReflectionTable
        Predictions with all that follows from the geometry.
    brightness : (n,) float64
        Summed counts of the strong spots, 0 elsewhere.
    unmatched : ReflectionTable or None
        Observed spots that no prediction belongs to.
    """

    experiments: Experiments
    predicted: ReflectionTable
    brightness: np.ndarray
    unmatched: ReflectionTable | None


def prepare(
    experiments: Experiments, reference: ReflectionTable | None, profile: Any, params: Any, context: RunContext
) -> Prepared:
    """Predict, find the predictions of observed spots, make the profile model, and boxes.

    Parameters
    ----------
    experiments : Experiments
    reference : ReflectionTable or None
        Indexed spots with their predicted positions.
    profile : Handle
    params : IntegrateParams
    context : RunContext
    """
    log = context.log
    predictions = Predictions(experiments, profile, params.prediction, context.executor.here.map)
    shifts = observed = unmatched = None
    if reference is not None:
        rows, observed = find_observed(predictions, experiments, reference)
        if predictions.keeps:
            tell_predictions(predictions, experiments, params, log)
        log.info("Matching reference spots with predicted reflections", extra=DETAIL)
        log.info(" %d observed reflections input", len(reference), extra=DETAIL)
        log.info(" %d reflections matched", len(rows), extra=DETAIL)
        if not len(rows):
            check_predictions(predictions)
            raise UserError(
                f"integrate: none of {len(reference)} observed spots matches a prediction within 2 pixels and images; the "
                "reflections seem not to belong to these experiments: give those of the same refinement"
            )
        matched = np.zeros(len(reference), bool)
        matched[rows] = True
        unmatched = reference.select(~matched)
        reference = reference.select(rows)
        if params.prediction.follow_spots:
            shifts = learn_shifts(experiments, reference, log)
            if shifts is not None:
                reference = shifts.moved_spots(reference)
    experiments = with_profiles(experiments, reference, profile, params, log)
    predicted, brightness = with_columns(
        predictions, experiments, reference, observed, shifts, profile, params, context.executor.here.map
    )
    if reference is None or not predictions.keeps:
        tell_predictions(predictions, experiments, params, log)
    beside = int(predictions.numbers.sum()) - len(predicted)
    if beside and params.sampling.integrate_all_reflections:
        log.info(
            "Left out %d of them, of which images hold less than %.1f %%", beside, 100 * LEAST_RECORDED, extra=DETAIL
        )
    if not len(predicted):
        raise UserError(
            "integrate: no reflection is predicted on an image; check the orientation of the crystal and the scan"
        )
    return Prepared(experiments, predicted, brightness, unmatched)


def tell_predictions(predictions: Predictions, experiments: Experiments, params: Any, log: logging.Logger) -> None:
    """Lines about how many there are; an error if there are none."""
    numbers = predictions.numbers
    varying = [not params.prediction.force_static and e.known_crystal.A_at_scan_points is not None for e in experiments]
    if len(experiments) > MOST_LINES:
        log.info(
            "Predicted %d reflections, %d to %d for each of %d experiments, of which %d have a scan-varying crystal",
            numbers.sum(), numbers.min(), numbers.max(), len(experiments), sum(varying),
        )  # fmt: skip
    else:
        for varies, number in zip(varying, numbers, strict=True):
            log.info(
                "Prediction type: %s crystal prediction", "scan varying" if varies else "scan static", extra=DETAIL
            )
            log.info("Predicted %d reflections", number)
    check_predictions(predictions)


def check_predictions(predictions: Predictions) -> None:
    """An error if there are none; they are made for it if they were not counted yet."""
    if not predictions.numbers.any() and not any(len(table) for _, table in predictions):
        raise UserError("integrate: no reflection is predicted; check the cell, the scan and prediction.d_min")


def with_profiles(
    experiments: Experiments, reference: ReflectionTable | None, profile: Any, params: Any, log: logging.Logger
) -> Experiments:
    known = all(e.profile for e in experiments) and reference is not None and "shoebox" not in reference
    if known and params.create_profile_model:
        log.info("The reflections have no shoeboxes: the profile models in the experiments are kept")
    elif params.create_profile_model and reference is not None:
        log.info("Using %d reflections for the profile model", len(reference))
        models = profile.estimate_profiles(experiments=experiments, reflections=reference)
        experiments = Experiments(
            replace(experiment, profile=model) for experiment, model in zip(experiments, models, strict=True)
        )
    for i, experiment in enumerate(experiments):
        model = experiment.profile
        if not model:
            raise UserError(f"integrate: experiment {i} has no profile model; use create_profile_model=True")
        if model.get("__id__") != params.profile.algorithm:
            raise UserError(
                f"integrate: the profile model of experiment {i} is {model.get('__id__')}, profile.algorithm is "
                f"{params.profile.algorithm}; make them agree or use create_profile_model=True"
            )
        if fault := profile.describe_model(model=model).fault:
            raise UserError(
                f"integrate: experiment {i}: {fault}: the predictions do not follow the spots. A wrong rotation axis "
                "or cell is the usual reason: check the fraction of indexed spots, the direction of the rotation axis (import: "
                "geometry.goniometer.axis=) and the refinement"
            )
    return experiments


def with_columns(
    predictions: Predictions,
    experiments: Experiments,
    reference: ReflectionTable | None,
    observed: Observed | None,
    shifts: Shifts | None,
    profile: Any,
    params: Any,
    run: Map,
) -> tuple[ReflectionTable, np.ndarray]:
    """Resolution, zeta, corrections, boxes and partiality of what is on images; the summed counts of the strong spots (0 elsewhere)."""
    bright, inherited = np.zeros(0), np.zeros(0, np.uint64)
    if reference is not None:
        bright = np.ones(len(reference))
        if "intensity.sum.value" in reference:
            bright = np.maximum(reference["intensity.sum.value"], 1e-6)
        inherited = np.uint64(int(Flag.REFERENCE_SPOT)) | (reference["flags"] & np.uint64(int(INHERITED)))
    scans = [e.scan for e in experiments]
    degrees = [0.0 if s is None else abs(s.oscillation_deg[1]) * s.n_images for s in scans]
    rng = np.random.default_rng(params.sampling.random_seed or 0)
    turned = np.array([not e.is_still for e in experiments])
    growing = Growing()
    for k, (batch, table) in enumerate(predictions):
        table, of_batch = table.view(), np.zeros(len(table))
        if observed is not None:
            which, partner = observed.on(k, batch, table)
            of_batch[partner] = bright[which]
            flags = table["flags"].copy()
            flags[partner] |= inherited[which]
            table["flags"] = flags
        if shifts is not None:
            table = shifts.moved(table)
        keep = sample(table["id"], degrees, params.sampling, rng)
        table, of_batch = only_rows(table, keep), of_batch[keep]
        drop = not params.output.output_unintegrated_reflections
        if drop:  # most of them before all else is known of them
            recorded = recorded_on_images(table, experiments, profile, run) >= LEAST_RECORDED
            recorded |= ~turned[table["id"]]
            table, of_batch = only_rows(table, recorded), of_batch[recorded]
        table = with_geometry(table, experiments, profile, params.integration, run)
        table["brightness"] = of_batch
        keep = (table["partiality"] >= LEAST_RECORDED) | ~turned[table["id"]] if drop else np.ones(len(table), bool)
        growing.add(table, np.flatnonzero(keep))
    predictions.forget()
    table = growing.table()
    brightness = table["brightness"]
    del table["brightness"]
    table["partial_id"] = np.arange(len(table), dtype=np.uint64)
    numbers = {id(images): k for k, images in enumerate(experiments.unique("imageset"))}
    number = np.array([numbers[id(e.imageset)] for e in experiments], np.int32)
    table["imageset_id"] = number[table["id"]]
    return table, brightness
