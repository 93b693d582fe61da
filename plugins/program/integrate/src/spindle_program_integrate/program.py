"""`spindle integrate`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.models import Experiments
from spindle.prediction import predict_for_indexed
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import excluded_images
from spindle_lib_selection.significance import significance
from spindle_lib_spots.reference import INHERITED, check_distance, match, split_reference

from .absorption import correct_absorption
from .filters import only_rows, sample, select_rows
from .images import restrict_scan
from .parameters import IntegrateParams, check_params
from .passes import Integrator
from .predictions import BATCH, Map, PredictSome, with_geometry
from .shifts import moved_predictions
from .tables import summary_tables

MOST_LINES = 50  # experiments of which each is told of by itself


class Integrate(Program):
    """Predict every reflection of the scan and measure its intensity.

    Takes refined experiments and, with them, the indexed spots from which the shape of spots is learned. Images are read twice:
    strong spots teach the reference profiles, then all predictions are summed and profile fitted.
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle index and spindle refine write it"}

    Params = IntegrateParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        experiments, reference = self._inputs(inputs, params)
        check_params(params)
        log = context.log
        rubbish = None
        if params.scan_range:
            experiments, reference = restrict_scan(experiments, params.scan_range, reference)
        if reference is not None:
            log.info("Processing reference reflections")
            reference, rubbish = split_reference(reference, len(experiments), log, "integrate")
            reference = predict_for_indexed(experiments, reference)
            reference = reference.select(reference.has_flags(Flag.PREDICTED))
            check_distance(reference, "integrate")

        profile = context.chosen(params.profile)
        predicted = self._predict(experiments, profile, params, context)
        partner = None
        if reference is not None:
            rows, partner = match(predicted, reference)
            log.info("Matching reference spots with predicted reflections")
            log.info(" %d observed reflections input", len(reference))
            log.info(" %d reflections predicted", len(predicted))
            log.info(" %d reflections matched", len(rows))
            if not len(rows):
                raise UserError(
                    f"integrate: none of {len(reference)} observed spots matches a prediction within 2 pixels and images; the "
                    "reflections seem not to belong to these experiments: give those of the same refinement"
                )
            matched = np.zeros(len(reference), bool)
            matched[rows] = True
            unmatched = reference.select(~matched)
            rubbish = (
                ReflectionTable.concatenate([rubbish, unmatched]) if rubbish is not None and len(unmatched) else rubbish
            )
            reference = reference.select(rows)
            predicted = self._inherit(predicted, reference, partner)
            if params.prediction.follow_spots:
                moved = moved_predictions(experiments, predicted, reference, log)
                if moved is not None:
                    predicted, reference = moved

        experiments = self._profiles(experiments, reference, profile, params, log)
        predicted, brightness = self._columns(
            experiments, predicted, reference, partner, profile, params, context.executor.here.map
        )

        integrator = Integrator(context, experiments, predicted, profile, params, _excluded(params, experiments))
        del predicted, reference, partner
        table, debug = integrator.run(brightness)
        integrator.forget()
        table = correct_absorption(table, integrator.experiments, params.absorption_correction, profile, context)
        experiments = integrator.experiments
        tables = list(integrator.tables)
        return self._finish(experiments, table, debug, integrator, rubbish, tables, params, context)

    @staticmethod
    def _inputs(inputs: ProgramInputs, params: Any) -> tuple[Experiments, ReflectionTable | None]:
        experiments = inputs.experiments
        if experiments is None or not len(experiments):
            raise UserError("integrate: give experiments, e.g. spindle integrate refined.expt refined.refl")
        for i, experiment in enumerate(experiments):
            if experiment.crystal is None:
                raise UserError(f"integrate: experiment {i} has no crystal; run spindle index first")
            if experiment.is_still:
                raise UserError(
                    f"integrate: experiment {i} is a still, its images were not rotated: if they were, import them with "
                    "geometry.scan.oscillation=<start>,<width in degrees>; if not, leave it out"
                )
            if experiment.imageset is None:
                raise UserError(f"integrate: experiment {i} has no images; run spindle import")
        if not inputs.reflections:
            if params.create_profile_model:
                raise UserError(
                    "integrate: give the indexed reflections too, from which the profile model is made, or create_profile_model=False"
                )
            return experiments, None
        return experiments, ReflectionTable.concatenate(inputs.reflections)

    @staticmethod
    def _predict(experiments: Experiments, profile: Any, params: Any, context: RunContext) -> ReflectionTable:
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
                log.info("Prediction type: %s crystal prediction", "scan varying" if varies else "scan static")
                log.info("Predicted %d reflections", number)
        if not len(table):
            raise UserError("integrate: no reflection is predicted; check the cell, the scan and prediction.d_min")
        return table

    @staticmethod
    def _inherit(predicted: ReflectionTable, reference: ReflectionTable, partner: np.ndarray) -> ReflectionTable:
        flags = predicted["flags"].copy()
        flags[partner] |= np.uint64(int(Flag.REFERENCE_SPOT)) | (reference["flags"] & np.uint64(int(INHERITED)))
        predicted = predicted.view()
        predicted["flags"] = flags
        return predicted

    @staticmethod
    def _profiles(
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

    @staticmethod
    def _columns(
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

    def _finish(
        self,
        experiments: Experiments,
        table: ReflectionTable,
        debug: ReflectionTable | None,
        integrator: Integrator,
        rubbish: ReflectionTable | None,
        tables: list[Table],
        params: Any,
        context: RunContext,
    ) -> ProgramResult:
        log = context.log
        files: dict[str, Any] = {}
        done = table.has_flags(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF, all=False)
        tables += summary_tables(table, experiments)
        p = params.integration
        keep = np.ones(len(table), bool)
        if not params.output.output_unintegrated_reflections:
            log.info("Removing %d unintegrated reflections of %d total", np.count_nonzero(~done), len(table))
            keep &= done
        if p.overlaps_filter.foreground_foreground.enable:
            keep &= ~table.has_flags(Flag.OVERLAPPED_FG)
        if p.overlaps_filter.foreground_background.enable:
            keep &= ~table.has_flags(Flag.OVERLAPPED_BG)
        table = only_rows(table, keep)
        if params.significance_filter.enable:
            kept, more = significance(table, params.significance_filter)
            tables += more
            log.info("Significance filter: %d of %d reflections kept", np.count_nonzero(kept), len(kept))
            table = only_rows(table, kept)
        if not len(table):
            raise UserError(
                "integrate: no reflection could be integrated; see the table 'Summary for experiment' in the log for the reasons"
            )
        if debug is not None:
            table = self._debug(table, debug, experiments, files, params)
        if params.output.include_bad_reference and rubbish is not None and len(rubbish):
            rubbish = rubbish.without("shoebox")
            rubbish.set_flags(slice(None), Flag.BAD_REFERENCE)
            table = ReflectionTable.concatenate([table, rubbish])
        if p.debug.reference.output and integrator.fitter is not None:
            files[p.debug.reference.filename] = _writer_of_profiles(integrator.fitter.reference_profiles())
        for one in tables:
            context.table(one)
        if params.output.report:
            files[params.output.report] = _writer_of_report(tables)
        table.identifiers = experiments.identifiers
        flags = table["flags"]
        summary: dict[str, Any] = {
            "n_integrated": len(table),
            "n_summed": int(np.count_nonzero(flags & np.uint64(int(Flag.INTEGRATED_SUM)))),
            "n_profile_fitted": int(np.count_nonzero(flags & np.uint64(int(Flag.INTEGRATED_PRF)))),
            "d_min": float(table["d"][table["d"] > 0].min()),
            "lost_images": [one.as_dict() for one in integrator.lost],
        }
        described = [integrator.profile.describe_model(model=e.profile).numbers for e in experiments]
        for name in dict.fromkeys(name for numbers in described for name in numbers):
            summary.setdefault(name, [numbers.get(name) for numbers in described])
        return ProgramResult(
            experiments=experiments,
            reflections=table,
            tables=tables,
            summary=summary,
            files=files,
            next_step=f"spindle symmetry {params.output.experiments} {params.output.reflections}",
        )

    @staticmethod
    def _debug(
        table: ReflectionTable, shoeboxes: ReflectionTable, experiments: Experiments, files: dict[str, Any], params: Any
    ) -> ReflectionTable:
        """Attach kept shoeboxes: to the table, or to files of their own."""
        p = params.integration.debug
        held = shoeboxes
        where = np.full(int(max(held["partial_id"].max(), table["partial_id"].max())) + 1, -1, np.int64)
        where[held["partial_id"].astype(np.int64)] = np.arange(len(held))
        found = where[table["partial_id"].astype(np.int64)]
        chosen = found >= 0
        if p.select:
            chosen &= select_rows(table, p.select)
        if not p.separate_files:
            if p.delete_shoeboxes:
                return table
            table = table.select(chosen)
            table["shoebox"] = held["shoebox"].select(found[chosen])
            return table
        part = table.select(chosen)
        part["shoebox"] = held["shoebox"].select(found[chosen])
        names = [f"shoeboxes_{i}.refl" for i in range(len(experiments))] if p.split_experiments else ["shoeboxes.refl"]
        for i, name in enumerate(names):
            files[name] = _writer_of_table(part.select(part["id"] == i) if p.split_experiments else part)
        return table


def _writer_of_table(table: ReflectionTable) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        from spindle.files import write_reflections

        write_reflections(table, path)

    return write


def _writer_of_profiles(profiles: list[dict[str, Any]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with open(path, "wb") as stream:
            np.savez_compressed(
                stream,
                data=np.array([p["data"] for p in profiles]),
                coord=np.array([p["coord"] for p in profiles]),
                experiment=np.array([p["experiment"] for p in profiles]),
                n_reflections=np.array([p["n_reflections"] for p in profiles]),
            )

    return write


def _writer_of_report(tables: list[Table]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import json

        with open(path, "w") as stream:
            json.dump({"tables": [t.to_dict() for t in tables]}, stream, indent=1)

    return write


def _excluded(params: IntegrateParams, experiments: Experiments) -> list[set[int]]:
    """Array indices that each experiment leaves out."""
    out: list[set[int]] = [set() for _ in experiments]
    for number, first, last in excluded_images(params.exclude_images, len(experiments)):
        out[number].update(range(first - 1, last))
    return out
