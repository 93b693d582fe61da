"""The program `merging_statistics`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Bool, Choice, Float, Int, Ints, PathParam, SpaceGroup, Strings, UnitCell
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle.symmetry import space_group
from spindle_lib_merging import MergingStatistics as Statistics
from spindle_lib_merging import (
    Unmerged,
    group_equivalents,
    merging_statistics,
    problems_of,
    read_unmerged,
    resolution_limit,
    resolution_of,
    shell_table,
    summary_table,
)
from spindle_lib_pages import Page, text_writer
from spindle_lib_pages.figures import lines, resolution_ticks

__all__ = ["MergingStatistics"]

#: Fewer unique reflections tell nothing.
FEWEST = 10
#: CC1/2 at which data end.
LIMIT = 0.3
PLOTS = (
    ("cc_half", "CC1/2"), ("cc_half_sigma_tau", "CC1/2 (sigma-tau)"), ("i_over_sigma", "I/sigma"), ("completeness", "completeness"),
    ("multiplicity", "multiplicity"), ("r_meas", "Rmeas"), ("r_pim", "Rpim"), ("cc_anomalous", "CC anomalous"),
)  # fmt: skip


class MergingStatistics(Program):
    """Print merging statistics of scaled data, overall and by resolution shell; nothing is changed.

    Give scaled experiments and reflections, or an unmerged MTZ file of any program. R factors, CC1/2 of random halves and from the scatter of
    equivalents, I/sigma, completeness and multiplicity, and those of anomalous differences, are told of all data and of each shell.

        spindle merging_statistics scaled.expt scaled.refl
        spindle merging_statistics scaled_unmerged.mtz d_min=2.1 n_bins=10
    """

    needs_columns = {"miller_index": "spindle scale writes it"}

    class Params(ParamsBase):
        d_min = Float(None, min=0, none=True, units="angstrom", help="Resolution limit.")
        d_max = Float(None, min=0, none=True, units="angstrom", help="Low-resolution limit.")
        n_bins = Int(20, min=1, max=10_000, help="Resolution shells.")
        binning_method = Choice(
            ["volume", "counting_sorted"], default="volume",
            help="Shells of equal volume in reciprocal space, or of as many unique reflections each.",
        )  # fmt: skip
        anomalous = Bool(False, help="R factors of the table of shells with Friedel mates kept apart.")
        use_internal_variance = Bool(
            False, help="Sigmas of merged intensities at least as large as the scatter of the equivalents says."
        )
        labels = Strings(None, none=True, help="Columns of the MTZ file: intensity and sigma.")
        space_group = SpaceGroup(None, none=True, help="Instead of that of the data.")
        unit_cell = UnitCell(None, none=True, help="For resolutions, instead of that of the data.")
        batch_range = Ints(
            None, size=2, none=True, min=0, max=10_000_000,
            help="First and last batch that is looked at: batches of an MTZ file, or image numbers with the offset that a scan carries.",
        )  # fmt: skip
        seed = Int(0, min=0, help="Seed of the random halves.", level=1)

        class output(ParamsBase):
            """Output files."""

            log = PathParam("spindle.merging_statistics.log", none=True, help="Log file.")
            html = PathParam("spindle.merging_statistics.html", none=True, help="Page with tables and plots.")
            json = PathParam(None, none=True, help="All numbers.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Calculate; see `spindle.contracts.program.ProgramSpec`."""
        data = _chosen(read_unmerged(inputs, "merging_statistics", context.log, params.labels), params)
        group = data.group.xhm()
        cell = " ".join(f"{v:.3f}" for v in data.cell)
        context.log.info("%d observations, space group %s, cell %s", len(data.hkl), group, cell)
        statistics = self._statistics(data, params, params.n_bins)
        ten = statistics if params.n_bins <= 10 else self._statistics(data, params, 10)
        tables = [
            shell_table(statistics, params.anomalous),
            summary_table(statistics.overall, ten.shells[0], ten.shells[-1]),
        ]
        for table in tables:
            context.table(table)
        overall = statistics.overall
        limit = resolution_limit(statistics, LIMIT)
        ends_before = limit is not None and limit > overall.d_min * 1.001
        if ends_before:
            context.log.info("CC1/2 falls to %.1f at %.2f A", LIMIT, limit)
        problems = problems_of(statistics)
        for problem in problems:
            context.log.warning("These data are not fit for structure solution: %s", problem)
        files: dict[str, Any] = {}
        if params.output.json is not None:
            content = {
                "space_group": group,
                "unit_cell": [float(v) for v in data.cell],
                "cc_half_limit": limit,
                **statistics.as_dict(),
            }
            files[str(params.output.json)] = text_writer(json_text(content, 1) + "\n")
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(_page(statistics, tables, group, problems))
        summary: dict[str, Any] = {
            "n_observations": overall.n_observations, "n_unique": overall.n_unique, "d_min": overall.d_min, "space_group": group,
            "completeness": overall.completeness, "multiplicity": overall.multiplicity, "r_merge": overall.r_merge, "r_meas": overall.r_meas,
            "r_pim": overall.r_pim, "cc_half": overall.cc_half, "i_over_sigma": overall.i_over_sigma, "suggested_d_min": limit,
        }  # fmt: skip
        following = (
            f"cut at {limit:.2f} A when you merge: d_min={limit:.2f}"
            if ends_before
            else "the data may be used to their end"
        )
        if overall.n_unique < FEWEST:
            following = f"nothing can be told of so few: {overall.n_unique} unique reflection{'s' * (overall.n_unique != 1)}; process more images"
        if problems:
            summary["problem"] = problems[0]
            following = f"do not use these data yet: {problems[0]}; look at images, indexing and symmetry"
        return ProgramResult(summary=summary, files=files, next_step=following)

    def _statistics(self, data: Unmerged, params: Any, n: int) -> Statistics:
        edges = None
        if params.binning_method == "counting_sorted":
            edges = _equal_counts(data, n)
        return merging_statistics(
            data.hkl,
            data.intensity,
            data.variance,
            data.cell,
            data.group,
            n,
            params.use_internal_variance,
            params.seed,
            edges,
        )


def _chosen(data: Unmerged, params: Any) -> Unmerged:
    """The observations within the limits, in the cell and group that were given."""
    if params.space_group is not None:
        data = replace(data, group=space_group(str(params.space_group)))
    if params.unit_cell is not None:
        data = replace(data, cell=np.asarray(params.unit_cell, dtype=float))
    d = resolution_of(data.hkl, data.cell)
    keep = np.ones(len(d), dtype=bool)
    if params.batch_range is not None:
        if data.batch is None:
            raise ParameterError(f"batch_range: {data.source} has no batches; leave it away")
        first, last = params.batch_range
        keep = (data.batch >= first) & (data.batch <= last)
        if not keep.any():
            raise ParameterError(
                f"batch_range={first},{last}: the data have batches {data.batch.min()} to {data.batch.max()}"
            )
    keep &= (d >= (params.d_min or 0.0)) & (d <= (params.d_max or np.inf))
    if not keep.any():
        raise UserError(
            f"merging_statistics: nothing lies within d_min={params.d_min}, d_max={params.d_max}; the data have {d.max():.2f} to {d.min():.2f} A"
        )
    return data if keep.all() else data.select(np.flatnonzero(keep))


def _equal_counts(data: Unmerged, n: int) -> np.ndarray:
    """Edges (n + 1,) in angstrom of shells with equal numbers of unique reflections, from low to high resolution."""
    d = np.sort(resolution_of(group_equivalents(data.hkl, data.group).hkl, data.cell))[::-1]
    places = np.linspace(0, len(d) - 1, min(n, len(d)) + 1).round().astype(int)
    edges = d[places]
    edges[0] *= 1 + 1e-6
    edges[-1] *= 1 - 1e-6
    return np.unique(edges)[::-1]


def _page(statistics: Statistics, tables: list[Table], group: str, problems: list[str]) -> str:
    overall = statistics.overall
    out = Page(
        "Merging statistics", f"{overall.n_observations} observations of {overall.n_unique} reflections in {group}"
    )
    for problem in problems:
        out.text(problem[0].upper() + problem[1:] + ".", "bad")
    out.section("Overall")
    out.table(tables[1])
    out.section("By resolution")
    x = [(s.d_min**-2 + s.d_max**-2) / 2 for s in statistics.shells]
    for name, label in PLOTS:
        y = [getattr(s, name) for s in statistics.shells]
        curves: list[Any] = [(label, x, y)]
        if name == "cc_half":
            curves.append(("critical value", x, [s.cc_half_critical for s in statistics.shells]))
        out.plot(lines(label, "", label, curves, xaxis=resolution_ticks(x)))
    out.table(tables[0])
    return out.html()
