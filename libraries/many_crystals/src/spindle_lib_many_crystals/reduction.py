"""From consistently indexed data sets to scaled and merged ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.params import make, walk
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import resolution_of
from spindle_lib_selection.parts import Parts

from .steps import Steps, settings_of

__all__ = ["DATA", "Reduced", "Reduction", "summary_of", "wavelength_groups", "with_nan"]

DATA = "DataFiles"
#: Scans narrower than this get one scale and one B factor.
NARROW_SCAN_DEG = 1.0
#: Columns of an earlier scaling.
SCALED = ("intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor", "inverse_scale_factor_variance")


@dataclass(slots=True)
class Reduced:
    """Scaled and merged data.

    Attributes
    ----------
    name : str
    experiments : Experiments
    table : ReflectionTable
        Scaled, all resolutions.
    d_min : float or None
        Limit of what was merged; None for that of the data.
    limits : list of str
        What that limit follows from.
    statistics : dict
        Of the merged data: overall and shells.
    tables : list of Table
    summary : dict
        Key numbers.
    filtered : dict or None
        What the filter did.
    files : dict of str to writer
    """

    name: str
    experiments: Experiments
    table: ReflectionTable
    d_min: float | None
    limits: list[str]
    statistics: dict[str, Any]
    tables: list[Table]
    summary: dict[str, Any]
    filtered: dict[str, Any] | None = None
    files: dict[str, Callable[[Path], Any]] = field(default_factory=dict)

    def within(self) -> ReflectionTable:
        """The reflections that are merged."""
        return self.table if self.d_min is None else self.table.select(self.table["d"] >= self.d_min)


class Reduction:
    """Scales and merges data sets, all alike.

    Parameters
    ----------
    steps : Steps
    params : Params
    """

    def __init__(self, steps: Steps, params: Any) -> None:
        self.steps, self.params, self.context = steps, params, steps.context
        self._flags: Path | None = None

    def share_flags(self, mtz: Path) -> None:
        """Take the test set of a merged file for all that are written."""
        self._flags = mtz

    def check(self, experiments: Experiments) -> None:
        """Refuse parameters of scaling that its model does not have, before the work.

        Raises
        ------
        ParameterError
            Naming one.
        """
        self._scale_settings(experiments)

    # -- steps

    def cell(
        self, experiments: Experiments, table: ReflectionTable, of: str, stem: str
    ) -> tuple[Experiments, dict[str, Any]]:
        """Cells refined against 2theta, and files with them; as they are where the data do not allow it."""
        if "two_theta" not in (self.params.unit_cell.refine or ()):
            return experiments, {}
        names = {kind: f"{stem}_cell.{kind}" for kind in ("cif", "mmcif")}
        settings = {
            "combine_crystal_models": self.params.two_theta_refine.combine_crystal_models,
            **{f"output.{kind}": Path(name).name for kind, name in names.items()},
        }  # fmt: skip
        needed = {"panel", "xyzobs.mm.value", "xyzobs.mm.variance", "s1"}
        if lacking := sorted(c for c in needed if c not in table):
            self.context.log.info("Cells are not refined: the reflections have no %s", ", ".join(lacking))
            return experiments, {}
        try:
            result = self.steps.run("two_theta_refine", experiments, table, settings, of)
        except UserError as error:
            self.context.log.warning("Cells are not refined, and have no standard deviations: %s", error)
            return experiments, {}
        files = {
            names[kind]: result.files[Path(names[kind]).name]
            for kind in names
            if Path(names[kind]).name in result.files
        }
        return result.experiments or experiments, files

    def scale(
        self,
        experiments: Experiments,
        table: ReflectionTable,
        of: str,
        filtering: bool = False,
        d_min: float | None = None,
    ) -> tuple[Experiments, ReflectionTable, dict[str, Any], dict[str, Any] | None]:
        """Scaled data, what scale says of them, and what its filter did."""
        settings = self._scale_settings(experiments)
        limit = d_min if d_min is not None else self.params.resolution.d_min
        settings |= {"cut_data.d_min": limit, "cut_data.d_max": self.params.resolution.d_max}
        if filtering:
            settings["filtering.method"] = self.params.filtering.method
            given = settings_of(self.params, "filtering.deltacchalf.", "filtering.deltacchalf.")
            settings |= {name: value for name, value in given.items() if value is not None}
        result = self.steps.run("scale", experiments, table.without(*SCALED), settings, of)
        assert result.experiments is not None and result.reflections is not None
        done = with_nan(self.steps.numbers(result, "scale_and_filter_results.json")) if filtering else None
        return result.experiments, result.reflections, result.summary, done

    def _scale_settings(self, experiments: Experiments) -> dict[str, Any]:
        own = self.params.scaling
        first = experiments[0].known_scan
        width = abs(first.oscillation_deg[1]) * first.n_images
        model = own.model
        if model == "auto":
            model = "physical" if width >= NARROW_SCAN_DEG else "KB"
        settings: dict[str, Any] = {"model": model, "anomalous": own.anomalous, "overwrite_existing_models": True}
        if self.params.multi_crystal_analysis.n_bins:
            settings["output.merging.nbins"] = self.params.multi_crystal_analysis.n_bins
        if self.params.multi_crystal_analysis.unit_cell is not None:
            settings["reflection_selection.best_unit_cell"] = self.params.multi_crystal_analysis.unit_cell
        of_model: dict[str, Any] = {
            "scale_interval": own.rotation.spacing, "decay_interval": own.brotation.spacing, "absorption_level": own.absorption_level,
            "lmax": own.secondary.lmax or None, "share.absorption": own.secondary.share.absorption or None,
        }  # fmt: skip
        if own.absorption_level is not None or own.secondary.lmax or own.secondary.share.absorption:
            of_model["absorption_correction"] = True
        settings |= self._of_model(model, {name: value for name, value in of_model.items() if value is not None})
        selection = own.reflection_selection
        others = {
            "scaling_options.outlier_rejection": own.outlier_rejection,
            "reflection_selection.min_partiality": own.min_partiality, "cut_data.partiality_cutoff": own.partiality_cutoff,
            "reflection_selection.method": selection.method, "reflection_selection.Isigma_range": selection.Isigma_range,
        }  # fmt: skip
        return settings | {name: value for name, value in others.items() if value is not None}

    def _of_model(self, model: str, wanted: dict[str, Any]) -> dict[str, Any]:
        """Settings of a scaling model that has them all."""
        known = {entry.path for entry in walk(self.context.host.load("scaling", model).Params())}
        if lacking := sorted(name for name in wanted if name not in known):
            raise ParameterError(
                f"scaling: model={model} has no {lacking[0]}; choose scaling.model=physical, or leave away the parameters of decay, spacing "
                "and absorption that it lacks"
            )
        return {f"{model}.{name}": value for name, value in wanted.items()}

    def resolution(self, experiments: Experiments, table: ReflectionTable, of: str) -> tuple[float | None, list[str]]:
        """The lowest of the limits that are asked for, and which they are; None where the data end before."""
        own = self.params.resolution
        if own.d_min is not None:
            return own.d_min, ["given"]
        leave = ("d_min", "d_max")
        settings = {
            k: v
            for k, v in settings_of(self.params, "resolution.", "resolution.", leave).items()
            if not (v is None and k.endswith(("nbins", "per_bin")))
        }
        if not any(
            getattr(own, n)
            for n in ("rmerge", "completeness", "cc_half", "isigma", "misigma", "i_mean_over_sigma_mean")
        ) and not (own.cc_ref and own.reference is not None):
            return None, ["no limit is asked for"]
        try:
            result = self.steps.run("estimate_resolution", experiments, table, settings, of)
        except UserError as error:
            self.context.log.warning("The resolution is not estimated, and nothing is cut: %s", error)
            return None, ["not estimated"]
        found = {k: v for k, v in result.summary.items() if k != "d_min_of_data" and v is not None}
        end = float(result.summary["d_min_of_data"])
        if not found:
            return None, ["no metric reaches its limit"]
        limit = max(found.values())
        reached = [f"{name} = {getattr(own, name, None)}" for name, value in found.items() if value == limit]
        if limit <= end * 1.0005:
            return None, ["the data end before"]
        return float(limit), reached

    # -- all together

    def reduce(
        self, name: str, experiments: Experiments, table: ReflectionTable, stem: str, of: str = "", filtering: bool = False,
        group: Callable[[Experiments, ReflectionTable], tuple[Experiments, ReflectionTable]] | None = None,
    ) -> Reduced:  # fmt: skip
        """Refine the cell, scale, find the resolution, merge.

        Parameters
        ----------
        name : str
            Of the data, in the report.
        experiments : Experiments
        table : ReflectionTable
        stem : str
            Beginning of the names of files.
        of : str
            Folder of the pages of the steps.
        filtering : bool
            Scale with the filter, and keep the cells as they are.
        group : function, optional
            Brings scaled data into their space group.
        """
        files: dict[str, Any] = {}
        if not filtering:
            experiments, files = self.cell(experiments, table, of, stem)
        experiments, table, summary, done = self.scale(experiments, table, of, filtering)
        d_min, limits = self.resolution(experiments, table, of)
        if self.params.rescale_after_resolution_cutoff and d_min is not None and self.params.resolution.d_min is None:
            experiments, table, summary, _ = self.scale(experiments, table, of, False, d_min)
        if group is not None:
            experiments, table = group(experiments, table)
        if self.params.multi_crystal_analysis.unit_cell is None:
            # as merging has it: resolutions by each crystal's own cell would put equivalents on both sides of the limit
            cell = np.mean([e.known_crystal.cell for e in experiments], axis=0)
        else:
            cell = np.asarray(self.params.multi_crystal_analysis.unit_cell, dtype=float)
        table = table.view()
        table["d"] = resolution_of(table["miller_index"], cell)
        reduced = Reduced(name, experiments, table, d_min, limits, {}, [], {}, done, files)
        self._merge(reduced, stem, of, summary)
        return reduced

    def _merge(self, reduced: Reduced, stem: str, of: str, summary: dict[str, Any]) -> None:
        own = self.params
        settings: dict[str, Any] = {
            "d_min": reduced.d_min, "d_max": own.resolution.d_max, "wavelength_tolerance": own.wavelength_tolerance,
            "assess_space_group": False, "output.mtz": f"{Path(stem).name}.mtz", "output.mmcif": f"{Path(stem).name}.mmcif",
            "output.json": "merge.json", "merging.n_bins": own.multi_crystal_analysis.n_bins or 20,
            "merging.anomalous": own.scaling.anomalous is True, "best_unit_cell": own.multi_crystal_analysis.unit_cell,
        }  # fmt: skip
        without = () if own.r_free_flags.reference is not None or self._flags is not None else ("extend",)
        settings |= settings_of(own, "r_free_flags.", "r_free_flags.", without)
        if self._flags is not None:
            # one test set for all files: what is not in it is drawn by chance
            settings |= {
                "r_free_flags.reference": self._flags, "r_free_flags.old_test_flag_value": None, "r_free_flags.column": None,
            }  # fmt: skip
        result = self.steps.run("merge", reduced.experiments, reduced.table, settings, of)
        reduced.statistics = with_nan(self.steps.numbers(result, "merge.json")["wavelength_1"])
        reduced.tables = result.tables
        reduced.summary = dict(result.summary) | {
            k: summary[k] for k in ("anomalous", "n_outliers", "twin_law", "twin_fraction") if k in summary
        }
        mtz = result.files[f"{Path(stem).name}.mtz"]
        if self._flags is None and own.r_free_flags.generate:
            self._flags = self.steps.written(mtz, "flags.mtz")
        merged = {f"{stem}.mtz": mtz, f"{stem}.mmcif": result.files[f"{Path(stem).name}.mmcif"]}
        within = reduced.within()
        reduced.files |= {
            f"{stem}.expt": partial(write_experiments, reduced.experiments),
            f"{stem}.refl": partial(write_reflections, within), **merged,
            **self._unmerged(reduced.experiments, within, stem), **self._shelx(reduced.experiments, within, stem),
        }  # fmt: skip

    def _unmerged(self, experiments: Experiments, table: ReflectionTable, stem: str) -> dict[str, Any]:
        """Unmerged files, one for each wavelength."""
        waves = wavelength_groups(experiments, self.params.wavelength_tolerance)
        parts = Parts(experiments, table.select(table.has_flags(Flag.SCALED)))
        files: dict[str, Any] = {}
        for k, members in enumerate(waves):
            suffix = f"_WAVE{k + 1:0{len(str(len(waves)))}d}" if len(waves) > 1 else ""
            some, rows = parts.take(members)
            for kind, ending in (("mtz", "mtz"), ("mmcif", "mmcif")):
                path = f"{stem}_unmerged{suffix}.{ending}"
                export = self.context.algorithm("exporter", kind).export(
                    experiments=some, reflections=rows, intensity="scale", path=path
                )
                files |= export.files
        return files

    def _shelx(self, experiments: Experiments, table: ReflectionTable, stem: str) -> dict[str, Any]:
        content = self.params.output.composition or ("CH" if self.params.small_molecule else None)
        if content is None:
            return {}
        plugin = self.context.host.load("exporter", "shelx")
        settings = make(plugin.Params, hklout=f"{stem}.hkl", ins=f"{stem}.ins", composition=content)
        rows = table.select(table.has_flags(Flag.SCALED))
        export = self.context.algorithm("exporter", "shelx", settings).export(
            experiments=experiments, reflections=rows, intensity="scale", path=None
        )
        return dict(export.files)


def wavelength_groups(experiments: Experiments, tolerance: float) -> list[list[int]]:
    """Experiments by wavelength, the shortest first; each group goes on as long as the next is within the tolerance."""
    order = sorted(range(len(experiments)), key=lambda i: experiments[i].beam.wavelength)
    groups: list[list[int]] = []
    for i in order:
        if groups and experiments[i].beam.wavelength - experiments[groups[-1][-1]].beam.wavelength <= tolerance:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [sorted(g) for g in groups]


def with_nan(statistics: Any) -> Any:
    """Statistics as they were computed: where the file says null there was no number."""
    if isinstance(statistics, dict):
        return {name: with_nan(value) for name, value in statistics.items()}
    if isinstance(statistics, list):
        return [with_nan(value) for value in statistics]
    return float("nan") if statistics is None else statistics


def summary_of(reduced: Sequence[Reduced]) -> Table:
    """The merged data side by side."""
    rows = []
    for r in reduced:
        s = r.statistics["overall"]
        rows.append([
            r.name, len(r.experiments), r.experiments[0].known_crystal.space_group.xhm(), round(s["d_min"], 2), round(100 * s["completeness"], 1),
            round(s["multiplicity"], 1), _rounded(s["i_over_sigma"], 1), _rounded(s["r_pim"], 3), _rounded(s["cc_half"], 3),
            s["n_unique"], "; ".join(r.limits),
        ])  # fmt: skip
    headers = [
        "Data",
        "Sets",
        "Space group",
        "d_min (A)",
        "Completeness (%)",
        "Multiplicity",
        "I/sigma",
        "Rpim",
        "CC1/2",
        "Unique",
        "Limit by",
    ]
    return Table("Merged data", headers, rows, "merged_data")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), digits)
