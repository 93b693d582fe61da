"""The program `spindle create_profile_model`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.models import Experiments
from spindle.params import Bool, Float, Int, PathParam, Plugin
from spindle.params import Params as ParamsBase
from spindle.prediction import predict_for_indexed, predict_stills_for_indexed
from spindle.table import Flag, ReflectionTable, Shoeboxes
from spindle_lib_spots.reference import check_distance, match, split_reference

#: Experiments whose models are shown, and stills without a model that are named.
MOST_NAMED = 20


class CreateProfileModel(Program):
    """Measure how wide spots are, and write it into the experiments.

    Give refined experiments and the indexed spots with their shoeboxes. `spindle integrate create_profile_model=False` takes the model
    that is written, so that it can be looked at (`spindle show`), changed, or made of other spots than those of integration.
    Without shoeboxes, experiments that have a model keep its widths. Of stills each gets a model of its own.

        spindle create_profile_model refined.expt refined.refl
        spindle integrate models_with_profiles.expt refined.refl create_profile_model=False
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle index and spindle refine write it"}

    class Params(ParamsBase):
        """Measure profile models."""

        subtract_background = Bool(
            False, level=2, help="Take the mean background (column background.mean) off the pixels of spots before."
        )
        output = PathParam("models_with_profiles.expt", output=True, help="Experiments with their profile models.")

        class profile(ParamsBase):
            """Profile model."""

            algorithm = Plugin("profile", default="gaussian_rs", help="Model of the shape of spots.")

        class prediction(ParamsBase):
            """Spots are used that are predicted with these limits."""

            d_min = Float(None, min=0, units="A", help="High resolution limit; None: the corners of the detector.")
            d_max = Float(None, min=0, units="A", help="Low resolution limit.")
            margin = Int(
                1, none=True, unavailable="all indices to d_min are tried, there is nothing to widen", help="Indices beyond the limit."
            )  # fmt: skip
            force_static = Bool(False, help="Predict with the static crystal although scan-varying models are there.")
            padding = Float(1.0, min=0, max=180, none=True, units="degrees", help="Rotation beyond the scan.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        experiments = _checked(inputs, params)
        profile, log = context.chosen(params.profile), context.log
        table = ReflectionTable.concatenate(inputs.reflections)
        if "shoebox" not in table and all(e.profile for e in experiments):
            log.info("The reflections have no shoeboxes: the widths of the models in the experiments are kept")
            models = [_renewed(e.profile or {}, params) for e in experiments]
        else:
            if experiments[0].is_still:
                models = _of_stills(experiments, table, profile, params, context)
            else:
                reference = _reference(experiments, table, profile, params, context)
                models = profile.estimate_profiles(experiments=experiments, reflections=reference)
        experiments = Experiments(replace(e, profile=m or None) for e, m in zip(experiments, models, strict=True))
        for i, model in enumerate(models):
            if not model:
                continue
            summary = profile.describe_model(model=model)
            if summary.table is not None and i < MOST_NAMED:
                summary.table.title = f"Profile model of experiment {i}"
                context.table(summary.table)
            if summary.fault:
                log.warning("Experiment %d: %s: the predictions do not follow the spots", i, summary.fault)
        numbers = [profile.describe_model(model=m).numbers if m else {} for m in models]
        names = dict.fromkeys(name for of_model in numbers for name in of_model)
        return ProgramResult(
            experiments=experiments,
            summary={name: [of_model.get(name) for of_model in numbers] for name in names},
            next_step=f"spindle integrate {params.output} <reflections> create_profile_model=False",
        )


def _checked(inputs: ProgramInputs, params: Any) -> Experiments:
    experiments, limits = inputs.experiments, params.prediction
    if experiments is None or not len(experiments) or not inputs.reflections:
        raise UserError(
            "create_profile_model: give experiments and their indexed reflections, e.g. spindle create_profile_model refined.expt refined.refl"
        )
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise UserError(f"create_profile_model: experiment {i} has no crystal; run spindle index first")
    stills = [i for i, e in enumerate(experiments) if e.is_still]
    if stills and len(stills) < len(experiments):
        swept = next(i for i, e in enumerate(experiments) if not e.is_still)
        raise UserError(
            f"create_profile_model: experiment {stills[0]} is a still, experiment {swept} was rotated: their models are made in different "
            "ways. Give them in two runs: spindle split_experiments makes files of their own"
        )
    if limits.d_min is not None and limits.d_max is not None and limits.d_min >= limits.d_max:
        raise UserError(
            f"create_profile_model: d_min={limits.d_min:g} and d_max={limits.d_max:g}: d_min, the high resolution limit, is the smaller"
        )
    return experiments


def _renewed(model: dict[str, Any], params: Any) -> dict[str, Any]:
    """A model with the number of standard deviations that the parameters say, where its plugin has that."""
    own = getattr(getattr(params.profile, str(params.profile.algorithm), None), "parameters", None)
    n_sigma = getattr(own, "n_sigma", None)
    return {**model, "n_sigma": float(n_sigma)} if n_sigma is not None and "n_sigma" in model else dict(model)


def _of_stills(
    experiments: Experiments, table: ReflectionTable, profile: Any, params: Any, context: RunContext
) -> list[dict[str, Any]]:
    """The model of each still by itself; {} where its spots do not make one, which is said, and `integrate` leaves it out.

    Raises
    ------
    UserError
        If none has a model.
    """
    reference, _ = split_reference(table, len(experiments), context.log, "create_profile_model")
    reference = predict_stills_for_indexed(experiments, reference)
    reference = reference.select(reference.has_flags(Flag.PREDICTED))
    low, high = params.prediction.d_min or 0.0, params.prediction.d_max or np.inf
    if params.subtract_background:
        reference = _without_background(reference)
    rows, nothing = reference.rows_by_experiment(), np.zeros(0, np.int64)
    models: list[dict[str, Any]] = []
    failed: list[str] = []
    for i, experiment in enumerate(experiments):
        spots = reference.select(rows.get(i, nothing))
        d = 1.0 / np.maximum(np.linalg.norm(spots["miller_index"] @ experiment.known_crystal.A.T, axis=1), 1e-9)
        spots = spots.select((d >= low) & (d <= high))
        spots["id"] = np.zeros(len(spots), np.int32)
        try:
            check_distance(spots, "create_profile_model")
            models += profile.estimate_profiles(experiments=Experiments([experiment]), reflections=spots)
        except UserError as error:
            models.append({})
            failed.append(
                f"{experiment.image_name}: {str(error).splitlines()[0].removeprefix('create_profile_model: ')}"
            )
    if len(failed) == len(experiments):
        raise UserError(f"create_profile_model: none of {len(experiments)} stills has a model. The first: {failed[0]}")
    for text in failed[:MOST_NAMED]:
        context.log.warning("No model: %s", text)
    if len(failed) > MOST_NAMED:
        context.log.warning("and of %d more stills", len(failed) - MOST_NAMED)
    return models


def _reference(
    experiments: Experiments, table: ReflectionTable, profile: Any, params: Any, context: RunContext
) -> ReflectionTable:
    """Indexed spots that a prediction was found for, with where it is."""
    log, limits = context.log, params.prediction
    reference, _ = split_reference(table, len(experiments), log, "create_profile_model")
    reference = predict_for_indexed(experiments, reference)
    reference = reference.select(reference.has_flags(Flag.PREDICTED))
    check_distance(reference, "create_profile_model")
    predicted = profile.predict_reflections(
        experiments=experiments, d_min=limits.d_min, d_max=limits.d_max,
        padding=float(np.deg2rad(1.0 if limits.padding is None else limits.padding)), force_static=limits.force_static,
    )  # fmt: skip
    rows, partner = match(predicted, reference)
    log.info(" %d strong spots, %d of them not predicted", len(reference), len(reference) - len(rows))
    if not len(rows):
        raise UserError(
            f"create_profile_model: none of {len(reference)} observed spots matches a prediction within 2 pixels and images; check "
            "prediction.d_min and d_max, and that the reflections belong to these experiments"
        )
    reference = reference.select(rows)
    for name in ("s1", "xyzcal.px"):
        reference[name] = predicted[name][partner]
    return _without_background(reference) if params.subtract_background else reference


def _without_background(reference: ReflectionTable) -> ReflectionTable:
    if "background.mean" not in reference or "shoebox" not in reference:
        missing = "background.mean" if "background.mean" not in reference else "shoebox"
        raise UserError(
            f"create_profile_model: subtract_background=True needs the column {missing}, which these reflections do not have; leave it out"
        )
    s: Shoeboxes = reference["shoebox"]
    level = np.repeat(reference["background.mean"], np.diff(s.offsets)).astype(np.float32)
    reference["shoebox"] = Shoeboxes(s.panel, s.bbox, s.offsets, s.data - level, s.mask, s.background)
    return reference
