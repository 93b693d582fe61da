"""Refinement of all experiments: constant models, then models that vary with the scan."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Auto, Bool, Int, Ints, ShortName, Str, Strings
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.flat_sphere import flat_sphere_text
from spindle_lib_refinement.params import RefinementParams
from spindle_lib_refinement.stills_frame import stills_frame_text
from spindle_lib_refinement.varying_models import changed_for_varying_models
from spindle_lib_reindexing import in_setting_of

from . import outputs
from .geometry import GeometryWatch
from .modules import ROUNDS, Modules
from .scans import all_scans, trimmed, without_shared_models

FEWEST_INDEXED_FRACTION = 0.2
LARGEST_RMSD_IN_SPOTS = 1.5
LARGEST_RMSD_IMAGES = 5.0
WIDEST_INTERVAL_DEG = 36.0
ORIENTATION_PARAMETERS = 3
FEWEST_PER_PARAMETER = 10

_TIE_CELL = "tie it to that, refinement.parameterisation.crystal.unit_cell.restraints.tie_to_target.values= and sigmas="


class Refine(Program):
    """Refine crystal, beam and detector against the observed positions of indexed spots.

    First all models are constant; then, for scans, crystals may vary smoothly with the scan. Reflections whose
    residuals do not belong to the bulk are left out. Give one .expt and one .refl file, as `spindle index` writes
    them.

        spindle refine indexed.expt indexed.refl
        spindle refine indexed.expt indexed.refl scan_varying=False detector.fix=distance
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle index writes it"}

    class Params(ParamsBase):
        """Refinement of experimental models."""

        n_static_macrocycles = Int(
            1,
            min=1,
            max=1000,
            none=True,
            help="How often constant models are refined, with new outlier rejection each time.",
        )

        do_outlier_rejection = ShortName(
            "refinement.reflections.outlier.algorithm",
            values={"true": "Auto", "false": "null"},
            help="Leave out outliers (true) or none (false).",
        )
        use_all_reflections = ShortName(
            "refinement.reflections.reflections_per_degree",
            values={"true": None, "false": "Auto"},
            help="Use all reflections (true) or as many as are needed (false).",
        )

        refinement = RefinementParams

        class output(ParamsBase):
            """Files to write."""

            experiments = Str("refined.expt", help="Refined models.")
            reflections = Str("refined.refl", help="Reflections with new predictions.")
            include_unused_reflections = Bool(True, level=1, help="Also write the reflections that were not used.")
            matches = Str(None, none=True, level=2, help="Reflection file of the reflections used.")
            centroids = Str(None, none=True, level=1, help="Text table of observed and calculated positions.")
            parameter_table = Str(
                None, none=True, level=1, help="Text table of the refined parameters and their errors."
            )
            log = Str("spindle.refine.log", none=True, help="Log file.")
            history = Str(None, none=True, level=1, help="JSON file of all steps, with what refinery.journal asks for.")

            class correlation_plot(ParamsBase, level=1):
                """Correlations between parameters."""

                filename = Str(None, none=True, level=1, help="File for the plot (.html) or the numbers (.json).")
                col_select = Strings(
                    None, none=True, level=1, help="Only parameters whose names start with one of these."
                )
                steps = Ints(None, min=0, none=True, level=1, help="Steps to show; the last one when not given.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Run; see `spindle.contracts.program.ProgramSpec.run`."""
        experiments, table = _inputs(inputs)
        settings = _settings(params)
        scan_varying = settings.parameterisation.scan_varying
        scans = all_scans(experiments, settings.parameterisation.treat_single_image_as_still)
        if scan_varying is True and not scans:
            raise UserError(
                "refine: refinement.parameterisation.scan_varying=True, but some experiments are stills; set it to "
                "False or Auto"
            )
        _refuse_without_effect(params, scans)
        refiner = context.chosen(settings)
        results: list[RefinementResult] = []
        _warn_of_few_indexed(table, context.log)
        watch = GeometryWatch(experiments)
        table = in_setting_of(experiments, table, context.log)

        if text := flat_sphere_text(experiments, settings.parameterisation, _TIE_CELL):
            context.log.info("%s", text)
        if any(e.is_still for e in experiments) and (text := stills_frame_text(settings.parameterisation)):
            context.log.log(logging.WARNING if text.startswith("WARNING") else logging.INFO, "%s", text)

        def show(result: RefinementResult) -> None:
            for shown in result.tables:
                context.table(shown)
            n, left_out = int(result.n_reflections.sum()), int(table.has_flags(Flag.CENTROID_OUTLIER).sum())
            context.log.info(
                "%d parameters refined against %d reflections, %d outliers left out: %s",
                len(result.parameter_values), n, left_out, result.reason,
            )  # fmt: skip

        def cycle(varying: bool) -> None:
            nonlocal experiments, table
            context.check_cancelled()
            if varying:
                context.log.info("Scan-varying refinement")
            result = refiner.refine(
                experiments=experiments,
                reflections=table,
                settings=settings,
                scan_varying=varying,
                purpose="refinement",
            )
            experiments, table = result.experiments, result.reflections
            results.append(replace(result, reflections=ReflectionTable()))  # what it wrote is in `table` alone
            _check_sanity(result, experiments, table)

        if scan_varying is not True:
            for _ in range(params.n_static_macrocycles or 1):
                cycle(False)
                show(results[-1])
        if scan_varying is True or (
            scan_varying is Auto and scans and _enough_to_vary(results[-1], experiments, context.log)
        ):
            if settings.parameterisation.trim_scan_to_observations:
                experiments = trimmed(experiments, table, context.log)
            experiments = without_shared_models(experiments, settings.parameterisation.beam.force_static is Auto)
            cycle(True)
            show(results[-1])
        modules = Modules(experiments, settings.parameterisation.detector, Path(params.output.experiments), context.log)
        varying = any(e.crystal is not None and e.crystal.A_at_scan_points is not None for e in experiments)
        for turn in range(ROUNDS):
            learned = modules.learn(experiments, table, context.log)
            if learned is None:
                break
            experiments = learned
            if turn == 0:
                context.check_cancelled()
                experiments = modules.together(
                    experiments, table, settings, partial(_refined, refiner, varying), context.log
                )
            cycle(varying)
        if modules.files:
            show(results[-1])
        for text in outputs.moving_beams(experiments):
            context.log.info("%s", text)
        if text := outputs.axis_text(results[-1]):
            context.log.info("%s", text)
        warnings = watch.warnings(experiments, table, results[-1], settings, context)
        for text in warnings:
            context.log.warning("%s", text)
        for number, crystal in enumerate(experiments.unique("crystal"), 1):
            context.log.info("%s", outputs.describe_crystal(crystal, number if len(experiments) > 1 else 0))
            context.log.info("%s", outputs.describe_matrices(crystal), extra=DETAIL)
        done = self._result(params, results, experiments, table, inputs)
        done.files.update(modules.files)
        if found := modules.report(context.log, params.output.experiments):
            done.summary["modules"] = found
        if warnings:
            done.summary["warning"] = "\n".join(warnings)
        return done

    def _result(
        self,
        params: Params,
        results: list[RefinementResult],
        experiments: Experiments,
        table: ReflectionTable,
        inputs: ProgramInputs,
    ) -> ProgramResult:
        output = params.output
        files: dict[Any, Any] = {}
        if output.matches:
            files[output.matches] = outputs.matches_writer(table)
        if output.centroids:
            files[output.centroids] = outputs.centroid_writer(table)
        if output.parameter_table:
            files[output.parameter_table] = outputs.parameter_writer(results[-1])
        if output.history:
            files[output.history] = outputs.history_writer(results)
        plot = output.correlation_plot
        if plot.filename:
            files.update(outputs.correlation_writer(results, plot.col_select, plot.steps, plot.filename))
        written = table
        if not output.include_unused_reflections:
            written = table.select(table.has_flags(Flag.USED_IN_REFINEMENT))
        last = results[-1]
        summary = {
            "rmsd_px": last.rmsd_px.tolist(),
            "n_reflections": last.n_reflections.tolist(),
            "reason": last.reason,
            "reduced_chi_squared": last.reduced_chi_squared,
            "n_parameters": len(last.parameter_names),
            "cells": [c.cell.tolist() for c in experiments.unique("crystal")],
        }
        step = f"spindle integrate {output.experiments} {output.reflections}"
        if any(e.profile is not None for e in experiments):  # refined after integration, in the space group found
            step = f"spindle scale {output.experiments} {_observations(inputs)}"
        tables = [t for r in results for t in r.tables]
        return ProgramResult(
            experiments=experiments, reflections=written, tables=tables, summary=summary, files=files, next_step=step
        )


def _refined(
    refiner: Any, scan_varying: bool, experiments: Experiments, table: ReflectionTable, settings: Any
) -> RefinementResult:
    """What the refiner makes of other settings than those of the run."""
    result: RefinementResult = refiner.refine(
        experiments=experiments, reflections=table, settings=settings, scan_varying=scan_varying, purpose="refinement"
    )
    return result


def _observations(inputs: ProgramInputs) -> str:
    """The file of integrated reflections, which lies beside the experiments that `spindle symmetry` has written."""
    for path in inputs.sources:
        if path.suffix == ".expt" and path.with_suffix(".refl").is_file():
            return str(path.with_suffix(".refl"))
    return "symmetrized.refl"


def _settings(params: Refine.Params) -> Any:
    """The scope ``refinement``, with the correlations kept when a plot of chosen steps asks for them."""
    settings = params.refinement
    if params.output.correlation_plot.filename and params.output.correlation_plot.steps is not None:
        settings = settings.changed(refinery__journal__track_parameter_correlation=True)
    return settings


def _refuse_without_effect(params: Refine.Params, scans: bool) -> None:
    """Stop if a parameter was changed that acts only in a refinement which does not take place.

    Raises
    ------
    ParameterError
        Names the parameter and why it would be ignored.
    """
    scan_varying = params.refinement.parameterisation.scan_varying
    if scan_varying is True and (params.n_static_macrocycles or 1) > 1:
        raise ParameterError(
            f"n_static_macrocycles={params.n_static_macrocycles}: with refinement.parameterisation.scan_varying=True there is no refinement "
            "of constant models before; Auto does both"
        )
    if scan_varying is False or not scans:
        reason = "refinement.parameterisation.scan_varying=False keeps them" if scans else "those of stills are"
        for entry in changed_for_varying_models(params.refinement):
            raise ParameterError(
                f"{entry.path}={entry.text}: it acts on models that vary with the scan, and {reason} constant; leave it out"
            )


def _inputs(inputs: ProgramInputs) -> tuple[Experiments, ReflectionTable]:
    """The experiments and one reflection table.

    Raises
    ------
    UserError
        If something is missing.

    """
    if inputs.experiments is None or len(inputs.experiments) == 0:
        raise UserError(
            "refine: no experiments; give the .expt and .refl files of spindle index, e.g. indexed.expt indexed.refl"
        )
    if not inputs.reflections:
        raise UserError(
            "refine: no reflections; give the .refl file that belongs to the experiments, e.g. indexed.refl"
        )
    return inputs.experiments, ReflectionTable.concatenate(inputs.reflections)


def _enough_to_vary(result: RefinementResult, experiments: Experiments, log: Any) -> bool:
    """True when every scan has enough reflections for crystals that vary; say so when not."""
    for i, experiment in enumerate(experiments):
        scan = experiment.known_scan
        intervals = int(scan.n_images * scan.oscillation_deg[1] / WIDEST_INTERVAL_DEG)
        n = ORIENTATION_PARAMETERS * (max(intervals, 1) + (1 if intervals < 3 else 2))
        if result.n_reflections[i] < FEWEST_PER_PARAMETER * n:
            log.info(
                "Scan-varying refinement is left out: %d reflections of experiment %d are too few for %d parameters of "
                "its orientation; set refinement.parameterisation.scan_varying=True to do it all the same",
                result.n_reflections[i],
                i,
                n,
            )
            return False
    return True


def _warn_of_few_indexed(table: ReflectionTable, log: Any) -> None:
    """Say when most spots of the table have no indices."""
    spots = int(np.count_nonzero(table.has_flags(Flag.STRONG)))
    indexed = int(np.count_nonzero(table.has_flags(Flag.STRONG | Flag.INDEXED)))
    if spots >= 100 and indexed < 0.5 * spots:
        log.warning(
            "WARNING: only %.1f %% of %d spots are indexed. Another crystal, ice, or a wrong rotation axis, "
            "distance or beam "
            "centre are likely: refinement cannot mend that; look at the output of spindle index",
            100.0 * indexed / spots,
            spots,
        )


def _check_sanity(result: RefinementResult, experiments: Experiments, table: ReflectionTable) -> None:
    """Raise when the models do not describe the spots.

    Raises
    ------
    RefinementError
        If residuals are larger than spots are.

    """
    rmsd = result.rmsd_px[result.n_reflections > 0]
    if len(rmsd) == 0:
        return
    worst = rmsd.max(axis=0)
    used = table.has_flags(Flag.USED_IN_REFINEMENT)
    if "bbox" in table and used.any():
        box = table["bbox"][used].astype(np.float64)
        extent = np.maximum(np.median(box[:, 1::2] - box[:, 0::2], axis=0), 3.0)
        limit = np.array([extent[0], extent[1], max(extent[2], LARGEST_RMSD_IMAGES)]) * LARGEST_RMSD_IN_SPOTS
        if np.any(worst[:2] > limit[:2]) or (not any(e.is_still for e in experiments) and worst[2] > limit[2]):
            raise RefinementError(
                f"refine: predicted and observed positions differ by {worst[0]:.1f} x {worst[1]:.1f} px and "
                f"{worst[2]:.1f} images (rms), "
                f"while a spot is {extent[0]:.0f} x {extent[1]:.0f} px and {extent[2]:.0f} images large: the models "
                f"do not describe the "
                "images. A wrong rotation axis or its direction, distance, wavelength or beam centre, or a wrong "
                "lattice look like this; "
                "check `spindle show`, import again with geometry.goniometer.axis= or geometry.detector..., and "
                "index again"
            )
    spots = int(np.count_nonzero((table["miller_index"] != 0).any(axis=1)))
    fraction = result.n_reflections.sum() / max(spots, 1)
    if spots >= 100 and fraction < FEWEST_INDEXED_FRACTION:
        rejected = int(np.count_nonzero(table.has_flags(Flag.CENTROID_OUTLIER)))
        if rejected > (1.0 - FEWEST_INDEXED_FRACTION) * spots:
            raise RefinementError(
                f"refine: {rejected} of {spots} indexed reflections were rejected as outliers: the models describe "
                f"only a few spots. The "
                "lattice is probably wrong, or there are several crystals; index again, perhaps with "
                "max_lattices=2, or keep the spots "
                "with refinement.reflections.outlier.algorithm=null"
            )
