"""The program `scale`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.contracts.scaling import ScalingModel
from spindle.errors import UserError
from spindle.merging import MergingStatistics, merging_statistics, resolution_limit, shell_table, summary_table
from spindle.models import Experiment, Experiments
from spindle.params import Auto, make
from spindle.report import Table
from spindle.table import Flag, ReflectionTable

from .data import Filtered, Observations, apply_filters, collect, resolution_column, scaling_observations
from .inputs import check_experiments, clean_table, join_tables, select_datasets
from .outputs import merged_data, unmerged_table
from .params import ScaleParams, check_available
from .report import html_report, report_data
from .rounds import Scaler, model_dictionary

#: Scans narrower than this get one scale per data set.
NARROW_SCAN_DEG = 1.0
#: Resolution limit suggested where CC1/2 falls below this.
CC_HALF_LIMIT = 0.3


class Scale(Program):
    """Put integrated intensities on a common scale and find their errors.

    Scale factors follow the crystal through the beam (illuminated volume, decay, absorption). They are determined from
    symmetry equivalents; outliers are rejected, profile-fitted and summed intensities are combined, sigmas are
    corrected by the scatter of equivalents. Give the experiments and reflections of spindle symmetry or integrate, of
    one or several data sets.
    """

    Params = ScaleParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Scale; see `spindle.contracts.program.ProgramSpec`."""
        check_available(params)
        if inputs.experiments is None or not inputs.reflections:
            raise UserError("scale: give experiments and reflections: spindle scale symmetrized.expt symmetrized.refl")
        table = join_tables(inputs.experiments, inputs.reflections)
        experiments, table = select_datasets(inputs.experiments, table, params)
        check_experiments(experiments)
        table = clean_table(table, params.output.delete_integration_shoeboxes)
        d = resolution_column(experiments, table, params)
        if "d" not in table or params.reflection_selection.best_unit_cell is not None:
            table["d"] = d
        filtered = apply_filters(experiments, table, params, d)
        obs = collect(experiments, table, filtered, params, d)
        crystal = experiments[0].crystal
        context.log.info("space group %s; %d data set(s)", crystal.space_group.hm, len(experiments))
        context.log.info("%d of %d reflections are scaled", len(obs), len(table))
        for reason, n in filtered.counts.items():
            if n:
                context.log.info("  %d left out: %s", n, reason)
        models = [self._model(k, e, table, obs, d, params, context) for k, e in enumerate(experiments)]
        rows = [[k, m.kind, t.name, len(t.parameters)] for k, m in enumerate(models) for t in m.terms]
        context.table(Table("Scaling models", ["Data set", "Model", "Term", "Parameters"], rows, "scaling_models"))
        scaler = Scaler(obs, models, params, context)
        scaler.run()
        table = write_columns(table, obs, filtered, scaler, params)
        experiments = with_models(experiments, scaler, params)
        statistics, suggestion = self._statistics(experiments, table, params, context)
        return self._result(experiments, table, scaler, statistics, suggestion, params, context)

    def _model(
        self,
        k: int,
        experiment: Experiment,
        table: ReflectionTable,
        obs: Observations,
        d: np.ndarray,
        params: Any,
        context: Any,
    ) -> ScalingModel:
        rows = obs.rows[obs.bounds[k] : obs.bounds[k + 1]]
        name = params.model
        existing = experiment.scaling_model if not params.overwrite_existing_models else None
        if name in (Auto, None):
            width = 0.0 if experiment.is_still else experiment.scan.oscillation_deg[1] * experiment.scan.n_images
            name = "physical" if width >= NARROW_SCAN_DEG else "KB"
        if existing is not None and existing.get("__id__") != name:
            context.log.info("data set %d: the earlier %s model is replaced", k, existing.get("__id__"))
            existing = None
        model: ScalingModel = context.algorithm("scaling", name).build_scaling_model(
            experiment=experiment,
            observations=scaling_observations(experiment, table, rows, d[rows], obs.n_sets),
            existing=existing,
        )
        return model

    def _statistics(
        self, experiments: Experiments, table: ReflectionTable, params: Any, context: Any
    ) -> tuple[MergingStatistics, float | None]:
        good = table.has_flags(Flag.SCALED)
        g = table["inverse_scale_factor"][good]
        crystal = experiments[0].crystal
        cell = params.reflection_selection.best_unit_cell
        cell = np.mean([e.crystal.cell for e in experiments], axis=0) if cell is None else np.asarray(cell, float)
        arguments = (
            table["miller_index"][good], table["intensity.scale.value"][good] / g,
            table["intensity.scale.variance"][good] / g**2, cell, crystal.space_group,
        )  # fmt: skip
        internal = params.output.use_internal_variance
        statistics = merging_statistics(*arguments, params.output.merging.nbins, internal)
        context.table(shell_table(statistics))
        limit = resolution_limit(statistics, CC_HALF_LIMIT)
        suggested = None
        if limit is not None and limit > statistics.overall.d_min * 1.001:
            context.log.info("resolution limit suggested by CC1/2 = %.1f: %.2f A", CC_HALF_LIMIT, limit)
            use = table["d"][good] >= limit
            if use.sum() > 100:
                suggested = merging_statistics(
                    *(a[use] for a in arguments[:3]), *arguments[3:], params.output.merging.nbins, internal
                ).overall
        ten = merging_statistics(*arguments, 10, internal) if params.output.merging.nbins > 10 else statistics
        context.table(summary_table(statistics.overall, ten.shells[0], ten.shells[-1], suggested))
        return statistics, limit

    def _result(
        self,
        experiments: Experiments,
        table: ReflectionTable,
        scaler: Scaler,
        statistics: MergingStatistics,
        limit: float | None,
        params: Any,
        context: Any,
    ) -> ProgramResult:
        overall = statistics.overall
        summary = {
            "n_observations": overall.n_observations, "n_unique": overall.n_unique, "d_min": overall.d_min,
            "completeness": overall.completeness, "multiplicity": overall.multiplicity, "r_merge": overall.r_merge,
            "r_meas": overall.r_meas, "r_pim": overall.r_pim, "cc_half": overall.cc_half,
            "i_over_sigma": overall.i_over_sigma, "suggested_d_min": limit,
            "n_outliers": int(scaler.obs.outlier.sum()),
            "error_models": [list(e.parameters) for e in scaler.errors],
        }  # fmt: skip
        files: dict[str, Any] = {}
        output = params.output
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
            data = report_data(scaler, statistics, table, experiments)
            if output.json:
                files[output.json] = lambda path: Path(path).write_text(json.dumps(data), encoding="utf-8")
            if output.html:
                tables = list(context.tables)
                files[output.html] = lambda path: Path(path).write_text(html_report(data, tables), encoding="utf-8")
        return ProgramResult(
            experiments, table, [], summary, files, f"spindle merge {output.experiments} {output.reflections}"
        )


def write_columns(
    table: ReflectionTable, obs: Observations, filtered: Filtered, scaler: Scaler, params: Any
) -> ReflectionTable:
    """The table with scaled intensities, scale factors and flags."""
    result = table.view()
    n = len(table)
    variance = scaler.corrected_variance()
    full_matrix = params.scaling_options.full_matrix
    scale_variance = scaler.scale_variances() if full_matrix else np.zeros(len(obs))
    if full_matrix:
        way = params.weighting.scale_error
        if way == "dials":
            variance = variance * (1.0 + np.sqrt(scale_variance) / obs.g)
        elif way == "exact" or not scaler.use_error_model:
            variance = variance + (obs.intensity / obs.g) ** 2 * scale_variance
    for name, start, values in (
        ("intensity.scale.value", np.zeros(n), obs.intensity),
        ("intensity.scale.variance", np.zeros(n), variance),
        ("inverse_scale_factor", np.ones(n), obs.g),
        ("inverse_scale_factor_variance", np.zeros(n), scale_variance),
    ):
        column = np.array(start, dtype=np.float64)
        column[obs.rows] = values
        result[name] = column
    flags = np.array(table["flags"], dtype=np.uint64)
    cutoff = params.cut_data.small_scale_cutoff
    small = obs.g < cutoff if cutoff is not None else np.zeros(len(obs), bool)
    flags[filtered.excluded] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[filtered.user_excluded] |= np.uint64(int(Flag.USER_EXCLUDED_IN_SCALING))
    flags[obs.rows[small]] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[obs.rows[obs.outlier]] |= np.uint64(int(Flag.OUTLIER_IN_SCALING))
    flags[obs.rows[~obs.outlier & ~small]] |= np.uint64(int(Flag.SCALED))
    result["flags"] = flags
    return result


def with_models(experiments: Experiments, scaler: Scaler, params: Any) -> Experiments:
    """Experiments with their new scaling models."""
    fit = scaler.fit if params.scaling_options.full_matrix else None
    for k in range(len(experiments)):
        errors = next(e for e, sets in zip(scaler.errors, scaler.error_groups, strict=True) if k in sets)
        model = model_dictionary(scaler.layout, k, scaler.parameters, fit, errors, float(scaler.middles[k]))
        experiments = experiments.replace(k, scaling_model=model)
    return experiments
