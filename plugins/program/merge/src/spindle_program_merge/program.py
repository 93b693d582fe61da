"""The program `merge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.contracts.exporter import MergedColumn, MergedData, MergedDataset
from spindle.errors import ModelError, ParameterError, PluginError, UserError
from spindle.models import Experiments
from spindle.params import Auto
from spindle.report import json_text
from spindle.table import ReflectionTable
from spindle_lib_exchange import cell_for_export
from spindle_lib_image_ranges import excluded_images, on_excluded_images
from spindle_lib_merging import (
    AnomalousPairs,
    MergingStatistics,
    amplitude_columns,
    check_scaled,
    expected_intensity,
    french_wilson,
    intensity_columns,
    merge_pairs,
    merging_statistics,
    pack_indices,
    prepare_intensities,
    problems_of,
    resolution_of,
    shell_table,
    summary_table,
    wilson_plot,
)
from spindle_lib_verdict import Facts, facts_of_statistics

from .columns import half_columns
from .directions import inside
from .ending import find_end, page, uncut_files
from .flags import flag_column, with_flags
from .params import MergeParams


@dataclass(slots=True)
class Wave:
    """The data of one wavelength."""

    wavelength: float
    statistics: MergingStatistics
    pairs: AnomalousPairs
    columns: list[tuple[str, str, np.ndarray]]


class Merge(Program):
    """Merge scaled intensities and write an MTZ file with amplitudes.

    Equivalents are averaged with weights 1 / sigma^2, with and without Friedel's law; French and Wilson's method
    turns intensities
    into amplitudes. Prints merging statistics and the Wilson B factor. Give scaled.expt and scaled.refl.

        spindle merge scaled.expt scaled.refl
        spindle merge scaled.expt scaled.refl d_min=1.9 output.mtz=to_1_9.mtz
    """

    citations = (
        Citation(
            "French, S. & Wilson, K.",
            1978,
            "On the treatment of negative intensity observations",
            "Acta Cryst. A",
            "34",
            "517-525",
            "10.1107/S0567739478001114",
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
    needs_columns = {"miller_index": "spindle scale writes it"}

    Params = MergeParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: MergeParams, context: Any) -> ProgramResult:
        """Merge; see `spindle.contracts.program.ProgramSpec`."""
        experiments, table = self._check(inputs, params)
        crystal = experiments[0].crystal
        group = crystal.space_group  # type: ignore[union-attr]
        if params.best_unit_cell is not None:
            cell = np.asarray(params.best_unit_cell, dtype=float)
        else:
            cell, _ = cell_for_export(experiments)
        if params.assess_space_group:
            self._assess(experiments, table, context)
        table = _without_images(table.without("shoebox"), experiments, params, context.log)
        table["d"] = resolution_of(table["miller_index"], cell)
        files: dict[str, Any] = {}
        end, n_uncut = find_end(table, cell, group, params, context) if params.d_min is Auto else (None, 0)
        d_min = None if params.d_min is Auto else params.d_min
        if end is not None and end.d_min is not None:
            d_min = end.d_min
            files |= uncut_files(experiments, table, params, context)
        data = prepare_intensities(
            table, "scale", combine_partials=params.combine_partials, partiality_threshold=params.partiality_threshold,
            d_min=d_min, d_max=params.d_max,
        )  # fmt: skip
        context.log.info("%d scaled reflections in %s are merged", len(data), group.xhm())
        for reason, n in data.dropped.items():
            context.log.info("  %d left out: %s", n, reason)
        wavelengths, which = _wavelengths(experiments, params.wavelength_tolerance)
        waves, directions = [], []
        for k, wavelength in enumerate(wavelengths):
            rows = which[data.table["id"].astype(np.int64)] == k
            if not rows.any():
                raise UserError(
                    f"merge: wavelength {wavelength:.5f} A has no scaled reflection; leave out its experiments"
                )
            suffix = f"_WAVE{k + 1}" if len(wavelengths) > 1 else ""
            places = np.flatnonzero(rows)
            keep, found = inside(
                data.table["miller_index"][places], data.values["scale"][places], data.variances["scale"][places], cell, group, params,
                context,
            )  # fmt: skip
            rows = places[keep]
            directions.append(found)
            waves.append(
                self._wave(
                    data.table["miller_index"][rows], data.values["scale"][rows], data.variances["scale"][rows], cell,
                    group,
                    wavelength, suffix, params, context,
                )
            )  # fmt: skip
        merged = _join(waves, cell, group.xhm(), params)
        flags = flag_column(merged.miller_index, cell, group, params.r_free_flags, context.log, n_uncut)
        if flags is not None:
            merged = with_flags(merged, *flags)
        exports = [context.algorithm("exporter", "mtz").export_merged(merged=merged, path=str(params.output.mtz))]
        if params.output.mmcif:
            cif = context.algorithm("exporter", "mmcif")
            exports.append(cif.export_merged(merged=merged, path=str(params.output.mmcif)))
        for export in exports:
            for message in export.messages:
                context.log.info("%s", message)
            for shown in export.tables:
                context.table(shown.as_detail())
            files |= export.files
        first = waves[0].statistics.overall
        problems = problems_of(waves[0].statistics)
        report = {
            f"wavelength_{k + 1}": {**w.statistics.as_dict(), "anisotropy": found}
            for k, (w, found) in enumerate(zip(waves, directions, strict=True))
        }
        if params.output.json:
            files[params.output.json] = lambda path: Path(path).write_text(json_text(report), encoding="utf-8")
        if params.output.html:
            named = ["" if len(waves) == 1 else f"{w:.5f} A" for w in wavelengths]
            of_waves = list(zip(named, (w.statistics for w in waves), strict=True))
            report_page = page(list(context.tables), end, of_waves, problems)
            files[params.output.html] = lambda path: Path(path).write_text(report_page, encoding="utf-8")
        judged = facts_of_statistics(waves[0].statistics)
        if end is not None:
            judged = judged.with_more(Facts(suggested_d_min=d_min or first.d_min))
        summary = {
            "n_observations": first.n_observations, "n_unique": first.n_unique, "d_min": first.d_min,
            "completeness": first.completeness, "multiplicity": first.multiplicity, "r_pim": first.r_pim,
            "cc_half": first.cc_half, "i_over_sigma": first.i_over_sigma, "space_group": group.xhm(),
        }  # fmt: skip
        summary |= {k: v for k, v in judged.as_dict().items() if k not in summary}
        if not problems:
            following = f"open {params.output.mtz} in a structure solution program; spindle report <experiments> <reflections> tells how good the data are"
            return ProgramResult(None, None, [], summary, files, following)
        summary["problem"] = problems[0]
        said = "; ".join(problems)
        context.log.warning("The merged data are not fit for structure solution: %s", said)
        following = f"do not solve a structure from {params.output.mtz}: {said}; look at the images and the indexing"
        return ProgramResult(None, None, [], summary, files, following)

    def _check(self, inputs: ProgramInputs, params: MergeParams) -> tuple[Experiments, ReflectionTable]:
        if inputs.experiments is None or len(inputs.reflections) != 1:
            raise UserError(
                "merge: give one experiment file and one reflection file: spindle merge scaled.expt scaled.refl"
            )
        experiments, table = inputs.experiments, inputs.reflections[0]
        for k, experiment in enumerate(experiments):
            if experiment.crystal is None:
                raise ModelError(f"merge: experiment {k} has no crystal")
        if len({e.crystal.space_group.xhm() for e in experiments if e.crystal is not None}) > 1:
            raise ModelError(
                "merge: the experiments are in different space groups; run spindle symmetry and scale on all of them"
            )
        check_scaled(table, "merge")
        return experiments, table

    def _assess(self, experiments: Experiments, table: ReflectionTable, context: Any) -> None:
        """Let the symmetry program look at axial reflections; say what it finds."""
        try:
            found = context.run_program("symmetry", experiments, table, brief=True, laue_group=None)
        except PluginError as error:
            context.log.warning("the space group was not assessed: %s", error)
            return
        except UserError as error:
            context.log.warning("the space group could not be assessed: %s", error)
            return
        present = experiments[0].crystal.space_group  # type: ignore[union-attr]
        best = found.experiments[0].crystal.space_group
        if best.xhm() == present.xhm():
            context.log.info("The axial reflections agree with the space group %s", present.xhm())
        else:
            context.log.warning(
                "the axial reflections speak for %s, not %s; run spindle symmetry on the scaled data to change it",
                best.xhm(), present.xhm(),
            )  # fmt: skip

    def _wave(
        self, hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, cell: np.ndarray, group: Any, wavelength:
        float,
        suffix: str, params: MergeParams, context: Any,
    ) -> Wave:  # fmt: skip
        internal = params.merging.use_internal_variance
        statistics = merging_statistics(hkl, intensity, variance, cell, group, params.merging.n_bins, internal)
        pairs = merge_pairs(hkl, intensity, variance, group, internal)
        columns = intensity_columns(pairs, params.anomalous, suffix)
        if params.output.additional_stats:
            columns += half_columns(hkl, intensity, variance, group, suffix)
        if params.truncate:
            columns += self._amplitudes(pairs, cell, suffix, params, context)
        if params.n_residues is not None:
            mean = pairs.mean
            n_symmetry = len(group.operations())
            wilson = wilson_plot(
                mean.intensity, resolution_of(mean.hkl, cell), mean.epsilon, params.n_residues, n_symmetry
            )
            if wilson is None:
                context.log.info("too few reflections for a Wilson plot")
            else:
                context.log.info("Wilson B factor %.2f A^2, -ln(scale) %.2f", wilson.b_factor, -np.log(wilson.scale))
        shown = shell_table(statistics, params.merging.anomalous)
        context.table(shown.as_detail())
        ten = merging_statistics(hkl, intensity, variance, cell, group, 10, internal)
        context.table(summary_table(statistics.overall, ten.shells[0], ten.shells[-1]))
        return Wave(wavelength, statistics, pairs, columns)

    def _amplitudes(
        self, pairs: AnomalousPairs, cell: np.ndarray, suffix: str, params: MergeParams, context: Any
    ) -> list[tuple[str, str, np.ndarray]]:
        mean = pairs.mean
        expected = None
        if len(mean) >= params.french_wilson.min_reflections:
            expected = expected_intensity(mean.intensity, resolution_of(mean.hkl, cell), mean.epsilon, mean.centric)
        elif not params.french_wilson.fallback_to_flat_prior:
            context.log.warning(
                "%d reflections are too few to know the mean intensity: no amplitudes are written "
                "(french_wilson.fallback_to_flat_prior=True writes them)", len(mean),
            )  # fmt: skip
            return []
        of_mean = french_wilson(mean.intensity, mean.sigma, mean.centric, expected)
        plus = minus = None
        if params.anomalous:
            plus = french_wilson(pairs.plus, pairs.sigma_plus, mean.centric, expected)
            minus = french_wilson(pairs.minus, pairs.sigma_minus, mean.centric, expected)
        n_rejected = int((of_mean.rejected & np.isfinite(mean.intensity)).sum())
        context.log.info("French-Wilson: %d intensities are too negative and have no amplitude", n_rejected)
        return amplitude_columns(pairs, of_mean, plus, minus, suffix=suffix)


def _wavelengths(experiments: Experiments, tolerance: float) -> tuple[list[float], np.ndarray]:
    """Distinct wavelengths, ascending as first met, and the number of each experiment's."""
    found: list[float] = []
    which = np.zeros(len(experiments), dtype=np.int64)
    for k, experiment in enumerate(experiments):
        near = [i for i, w in enumerate(found) if abs(w - experiment.beam.wavelength) <= tolerance]
        if not near:
            found.append(experiment.beam.wavelength)
            near = [len(found) - 1]
        which[k] = near[0]
    return found, which


def _join(waves: list[Wave], cell: np.ndarray, symbol: str, params: MergeParams) -> MergedData:
    """All wavelengths' columns on the union of their indices."""
    crystals, names = list(params.output.crystal_names), list(params.output.dataset_names)
    n = len(waves)
    for label, given in (("crystal_names", crystals), ("dataset_names", names)):
        if len(given) not in (1, n):
            raise ParameterError(
                f"output.{label}: {len(given)} names for {n} wavelength(s); give one, or one per wavelength"
            )
    if n > 1 and len(names) == 1:
        names = [f"WAVE{k + 1}" for k in range(n)]
    crystals = crystals * n if len(crystals) == 1 else crystals
    hkl = np.unique(np.concatenate([w.pairs.mean.hkl for w in waves]), axis=0)
    keys = pack_indices(hkl)
    columns, datasets = [], []
    for k, wave in enumerate(waves):
        rows = np.searchsorted(keys, pack_indices(wave.pairs.mean.hkl))
        for label, kind, values in wave.columns:
            full = np.full(len(hkl), np.nan)
            full[rows] = values
            columns.append(MergedColumn(label, kind, full, k))
        datasets.append(MergedDataset(names[k], crystals[k], params.output.project_name, cell, wave.wavelength))
    return MergedData(hkl, columns, datasets, symbol)


def _without_images(table: ReflectionTable, experiments: Experiments, params: MergeParams, log: Any) -> ReflectionTable:
    """Without the images that are not wanted."""
    ranges, multiple = excluded_images(params.exclude_images, experiments), params.exclude_images_multiple
    if not ranges and multiple is None:
        return table
    column = next((name for name in ("xyzobs.px.value", "xyzcal.px") if name in table), None)
    if column is None:
        raise ModelError(
            "merge: the reflections have no xyzobs.px.value, so that exclude_images can leave out none of them"
        )
    out = on_excluded_images(table, ranges, column)
    if multiple is not None:
        out |= (np.floor(table[column][:, 2]).astype(np.int64) + 1) % multiple == 0
    log.info("%d reflections are left out: exclude_images", int(out.sum()))
    if out.all():
        raise UserError("merge: exclude_images and exclude_images_multiple leave no reflection")
    return table.select(~out)
