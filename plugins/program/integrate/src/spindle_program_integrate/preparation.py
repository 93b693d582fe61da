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
from spindle_lib_spots.reference import INHERITED, match

from .filters import sample
from .predictions import BATCH, Map, PredictSome, with_geometry
from .shifts import moved_predictions

__all__ = ["Prepared", "prepare", "with_profiles"]

MOST_LINES = 50  # experiments of which each is told of by itself


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
    predicted = predict_all(experiments, profile, params, context)
    partner = unmatched = None
    if reference is not None:
        rows, partner = match(predicted, reference)
        log.info("Matching reference spots with predicted reflections", extra=DETAIL)
        log.info(" %d observed reflections input", len(reference), extra=DETAIL)
        log.info(" %d reflections predicted", len(predicted), extra=DETAIL)
        log.info(" %d reflections matched", len(rows), extra=DETAIL)
        if not len(rows):
            raise UserError(
                f"integrate: none of {len(reference)} observed spots matches a prediction within 2 pixels and images; the "
                "reflections seem not to belong to these experiments: give those of the same refinement"
            )
        matched = np.zeros(len(reference), bool)
        matched[rows] = True
        unmatched = reference.select(~matched)
        reference = reference.select(rows)
        predicted = inherited(predicted, reference, partner)
        if params.prediction.follow_spots:
            moved = moved_predictions(experiments, predicted, reference, log)
            if moved is not None:
                predicted, reference = moved
    experiments = with_profiles(experiments, reference, profile, params, log)
    predicted, brightness = with_columns(
        experiments, predicted, reference, partner, profile, params, context.executor.here.map
    )
    return Prepared(experiments, predicted, brightness, unmatched)


def predict_all(experiments: Experiments, profile: Any, params: Any, context: RunContext) -> ReflectionTable:
    p, log = params.prediction, context.log
    task = PredictSome(experiments, profile, p)
    batches = [range(i, min(i + BATCH, len(experiments))) for i in range(0, len(experiments), BATCH)]
    table = ReflectionTable.concatenate(list(context.executor.here.map(task, batches)))
    numbers = np.bincount(table["id"], minlength=len(experiments))
    varying = [not p.force_static and e.known_crystal.A_at_scan_points is not None for e in experiments]
    if len(experiments) > MOST_LINES:
        log.info(
            "Predicted %d reflections, %d to %d for each of %d experiments, of which %d have a scan-varying crystal",
            len(table), numbers.min(), numbers.max(), len(experiments), sum(varying),
        )  # fmt: skip
    else:
        for varies, number in zip(varying, numbers, strict=True):
            log.info(
                "Prediction type: %s crystal prediction", "scan varying" if varies else "scan static", extra=DETAIL
            )
            log.info("Predicted %d reflections", number)
    if not len(table):
        raise UserError("integrate: no reflection is predicted; check the cell, the scan and prediction.d_min")
    return table


def inherited(predicted: ReflectionTable, reference: ReflectionTable, partner: np.ndarray) -> ReflectionTable:
    flags = predicted["flags"].copy()
    flags[partner] |= np.uint64(int(Flag.REFERENCE_SPOT)) | (reference["flags"] & np.uint64(int(INHERITED)))
    predicted = predicted.view()
    predicted["flags"] = flags
    return predicted


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
    experiments: Experiments,
    predicted: ReflectionTable,
    reference: ReflectionTable | None,
    partner: np.ndarray | None,
    profile: Any,
    params: Any,
    run: Map,
) -> tuple[ReflectionTable, np.ndarray]:
    """Resolution, zeta, corrections, boxes and partiality; the summed counts of the strong spots (0 elsewhere)."""
    brightness = np.zeros(len(predicted))
    if reference is not None and partner is not None:
        if "intensity.sum.value" in reference:
            brightness[partner] = np.maximum(reference["intensity.sum.value"], 1e-6)
        else:
            brightness[partner] = 1.0
    scans = [e.scan for e in experiments]
    degrees = [0.0 if s is None else abs(s.oscillation_deg[1]) * s.n_images for s in scans]
    keep = sample(predicted["id"], degrees, params.sampling)
    if not keep.all():
        predicted, brightness = predicted.select(keep), brightness[keep]
    n = len(predicted)
    table = with_geometry(predicted, experiments, profile, params.integration, run)
    table["partial_id"] = np.arange(n, dtype=np.uint64)
    numbers = {id(images): k for k, images in enumerate(experiments.unique("imageset"))}
    number = np.array([numbers[id(e.imageset)] for e in experiments], np.int32)
    table["imageset_id"] = number[table["id"]]
    return table, brightness
