"""The program `scale`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import make
from spindle.report import Table, json_text
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import excluded_images
from spindle_lib_merging import (
    METRICS,
    Groups,
    MergingStatistics,
    group_equivalents,
    merge_groups,
    merging_statistics,
    problems_of,
    resolution_curve,
    resolution_limit,
    shell_table,
    statistics_in_shells,
    summary_table,
)
from spindle_lib_twinning.diagnosis import Diagnosis, diagnose
from spindle_lib_verdict import decay_of, facts_of_diagnosis, facts_of_statistics, tells_errors

from .course import Scaled, already_scaled, scale_once
from .data import resolution_column
from .doses import kept_doses, one_dose_for_each
from .filtering import scale_and_filter, without_sets
from .indexing import consistently_indexed
from .inputs import check_experiments, clean_table, join_tables, select_datasets
from .outputs import merged_data, unmerged_table
from .params import ScaleParams
from .report import html_report, report_data
from .soundness import doubtful_error_models
from .target import read_target
from .validation import cross_validate

#: Resolution limit suggested where CC1/2 falls below this.
CC_HALF_LIMIT = 0.3
#: Limits that the table of resolutions names: merged I/sigma, completeness.
USUAL_LIMITS = (("cc_half", 0.3), ("misigma", 2.0), ("misigma", 1.0), ("completeness", 0.9))


def _limits(statistics: MergingStatistics) -> Table | None:
    """Where smooth curves through the shells reach the usual limits; None where the data end before all of them."""
    curves = [resolution_curve(METRICS[name], limit, statistics) for name, limit in USUAL_LIMITS]
    end = statistics.overall.d_min
    if all(c.d_min is None or c.d_min <= 1.001 * end for c in curves):
        return None
    rows = [[f"{c.metric.label} = {c.limit:g}", "--" if c.d_min is None else round(c.d_min, 2)] for c in curves]
    return Table(
        "Resolution limits (spindle estimate_resolution finds more)", ["Limit", "d_min (A)"], rows, "resolution_limits"
    )


class Scale(Program):
    """Put integrated intensities on a common scale and find their errors.

    Scale factors follow the crystal through the beam (illuminated volume, decay, absorption). They are determined from
    symmetry equivalents; outliers are rejected, profile-fitted and summed intensities are combined, sigmas are
    corrected by the scatter of equivalents. Give the experiments and reflections of spindle symmetry or integrate, of
    one or several data sets.

        spindle scale symmetrized.expt symmetrized.refl
        spindle scale symmetrized.expt symmetrized.refl anomalous=True d_min=1.9
        spindle scale */integrated.expt */integrated.refl model=KB
    """

    citations = (
        Citation(
            "Evans, P.",
            2006,
            "Scaling and assessment of data quality",
            "Acta Cryst. D",
            "62",
            "72-82",
            "10.1107/S0907444905036693",
        ),
        Citation(
            "Karplus, P. A. & Diederichs, K.",
            2012,
            "Linking crystallographic model and data quality",
            "Science",
            "336",
            "1030-1033",
            "10.1126/science.1218231",
        ),
    )

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}

    Params = ScaleParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: ScaleParams, context: Any) -> ProgramResult:
        """Scale; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.experiments is None or not inputs.reflections:
            raise UserError("scale: give experiments and reflections: spindle scale symmetrized.expt symmetrized.refl")
        table = join_tables(inputs.experiments, inputs.reflections)
        params = one_dose_for_each(params, inputs.experiments)
        experiments, table = select_datasets(inputs.experiments, table, params)
        left = {id(e) for e in experiments}
        params = kept_doses(params, [k for k, e in enumerate(inputs.experiments) if id(e) in left])
        check_experiments(experiments)
        table = clean_table(table, params.output.delete_integration_shoeboxes)
        if "d" not in table or params.reflection_selection.best_unit_cell is not None:
            table["d"] = resolution_column(experiments, table, params)
        target = read_target(experiments, table, params, context)
        earlier = already_scaled(experiments, None, params)
        if params.scaling_options.only_target and target is None and not 0 < len(earlier) < len(experiments):
            raise UserError(
                "scale: only_target=True needs a reference=, or data sets that were scaled before along with others that were not"
            )
        experiments, table = consistently_indexed(
            experiments, table, None if target is None else target.values, earlier, params, context
        )
        crystal = experiments[0].known_crystal
        context.log.info("space group %s; %d data set(s)", crystal.space_group.xhm(), len(experiments))
        exclusions = excluded_images(params.exclude_images, experiments)
        files: dict[str, Any] = {}
        if params.cross_validation.cross_validation_mode is not None:
            cross_validate(experiments, table, params, context, exclusions, target)
        if params.filtering.method is not None:
            scaled, record = scale_and_filter(experiments, table, params, context, exclusions, target)
            name = params.filtering.output.scale_and_filter_results
            files[name] = lambda path: Path(path).write_text(json_text(record, 1), encoding="utf-8")
        else:
            scaled = scale_once(experiments, table, params, context, exclusions, target=target)
        if params.scaling_options.only_target and params.scaling_options.only_save_targeted and scaled.scaler.held:
            kept = np.setdiff1d(np.arange(len(scaled.experiments)), scaled.scaler.held)
            scaled.experiments, scaled.table, _ = without_sets(scaled.experiments, scaled.table, [], kept)
        good = scaled.table.has_flags(Flag.SCALED)
        groups = group_equivalents(
            scaled.table.peek("miller_index")[good], scaled.experiments[0].known_crystal.space_group
        )
        statistics, suggestion = self._statistics(scaled.experiments, scaled.table, params, context, groups)
        diagnosis = self._diagnosis(scaled, params, context, groups)
        result = self._result(scaled, statistics, suggestion, diagnosis, params, context)
        result.files.update(files)
        return result

    def _diagnosis(self, scaled: Scaled, params: ScaleParams, context: Any, groups: Groups) -> Diagnosis:
        """What the statistics of the merged intensities and the error models say about the crystal."""
        table = scaled.table
        good = table.has_flags(Flag.SCALED)
        g = table["inverse_scale_factor"][good]
        group = scaled.experiments[0].known_crystal.space_group
        merged = merge_groups(
            groups, table["intensity.scale.value"][good] / g, table["intensity.scale.variance"][good] / g**2,
            params.output.use_internal_variance,
        )  # fmt: skip
        cell = np.mean([e.known_crystal.cell for e in scaled.experiments], axis=0)
        found = diagnose(merged.hkl, merged.intensity, merged.sigma, cell, group)
        for shown in found.tables():
            context.table(shown.as_detail())
        for sentence in found.warnings() + doubtful_error_models(scaled.scaler):
            context.log.warning("%s", sentence)
        return found

    def _statistics(
        self, experiments: Experiments, table: ReflectionTable, params: ScaleParams, context: Any, groups: Groups
    ) -> tuple[MergingStatistics, float | None]:
        good = table.has_flags(Flag.SCALED)
        g = table["inverse_scale_factor"][good]
        crystal = experiments[0].known_crystal
        given = params.reflection_selection.best_unit_cell
        cell = (
            np.mean([e.known_crystal.cell for e in experiments], axis=0) if given is None else np.asarray(given, float)
        )
        hkl, value = table.peek("miller_index")[good], table["intensity.scale.value"][good] / g
        variance = table["intensity.scale.variance"][good] / g**2
        n_shells, internal = params.output.merging.nbins, params.output.use_internal_variance
        numbers = [n_shells, 10] if n_shells > 10 else [n_shells]
        of_shells = statistics_in_shells(hkl, value, variance, cell, crystal.space_group, numbers, groups, internal)
        statistics, ten = of_shells[0], of_shells[-1]
        context.table(shell_table(statistics).as_detail())
        limit = resolution_limit(statistics, CC_HALF_LIMIT)
        if (limits := _limits(statistics)) is not None:
            context.table(limits)
        suggested = None
        if limit is not None and limit > statistics.overall.d_min * 1.001:
            context.log.info("resolution limit suggested by CC1/2 = %.1f: %.2f A", CC_HALF_LIMIT, limit)
            use = table.peek("d")[good] >= limit
            if use.sum() > 100:
                suggested = merging_statistics(
                    hkl[use], value[use], variance[use], cell, crystal.space_group, n_shells, internal
                ).overall
        context.table(summary_table(statistics.overall, ten.shells[0], ten.shells[-1], suggested))
        return statistics, limit

    def _result(
        self,
        scaled: Scaled,
        statistics: MergingStatistics,
        limit: float | None,
        diagnosis: Diagnosis,
        params: ScaleParams,
        context: Any,
    ) -> ProgramResult:
        experiments, table, scaler = scaled.experiments, scaled.table, scaled.scaler
        overall, output = statistics.overall, params.output
        summary: dict[str, Any] = {
            "n_observations": overall.n_observations, "n_unique": overall.n_unique, "d_min": overall.d_min,
            "completeness": overall.completeness, "multiplicity": overall.multiplicity, "r_merge": overall.r_merge,
            "r_meas": overall.r_meas, "r_pim": overall.r_pim, "cc_half": overall.cc_half,
            "i_over_sigma": overall.i_over_sigma, "suggested_d_min": limit,
            "n_outliers": int(scaler.obs.outlier.sum()),
            "anomalous": bool(params.anomalous is True or (scaler.friedel is not None and scaler.friedel.differ)),
            "error_models": [list(e.parameters) for e in scaler.errors], "errors_are_known": tells_errors(overall),
            "sigma_factor": scaler.sigma_factor(),
        }  # fmt: skip
        group = experiments[0].known_crystal.space_group.xhm()
        judged = facts_of_statistics(statistics, group).with_more(facts_of_diagnosis(diagnosis))
        falls = [fall for e in experiments if (fall := decay_of(e.scaling_model)) is not None]
        summary = summary | {k: v for k, v in judged.as_dict().items() if k not in summary}
        if falls and summary["errors_are_known"]:
            summary["decay_b"] = max(falls)
        if scaled.left_out:
            summary["n_images_left_out"] = len(scaled.left_out)
        if scaler.zero_dose is not None:
            summary["zero_dose_extrapolated"] = scaler.zero_dose.rate > 0
        if scaler.target is not None:
            summary["reference"] = scaler.target.target.values.source
            summary["reference_scale"], summary["reference_b"] = scaler.target.factor, scaler.target.b
        problems = problems_of(statistics, summary["sigma_factor"])
        following = f"spindle merge {output.experiments} {output.reflections}"
        if judged.suggested_d_min is not None:
            following += " d_min=Auto"
        if problems:
            summary["problem"] = problems[0]
            said = "; ".join(problems)
            context.log.warning(
                "These data tell nothing: %s. Look at the images, the indexing and the symmetry before merging", said
            )
            following = f"nothing to merge yet, since {said}; look at the images, the indexing and the symmetry first"
        files: dict[str, Any] = {}
        if output.unmerged_mtz:
            names = make(
                context.host.load("exporter", "mtz").Params,
                crystal_name=output.crystal_name, project_name=output.project_name,
            )  # fmt: skip
            export = context.algorithm("exporter", "mtz", names).export(
                experiments=experiments, reflections=unmerged_table(table), intensity="scale", path=output.unmerged_mtz
            )
            files.update(export.files)
            for message in export.messages:
                context.log.info("%s", message)
        if output.merged_mtz:
            merged = merged_data(experiments, table, params)
            export = context.algorithm("exporter", "mtz").export_merged(merged=merged, path=output.merged_mtz)
            files.update(export.files)
        if output.html or output.json:
            data = report_data(scaled, statistics, diagnosis)
            if output.json:
                files[output.json] = lambda path: Path(path).write_text(json_text(data), encoding="utf-8")
            if output.html:
                tables = list(context.tables)
                files[output.html] = lambda path: Path(path).write_text(
                    html_report(data, tables, scaled, statistics, diagnosis), encoding="utf-8"
                )
        return ProgramResult(experiments, table, [], summary, files, following)
