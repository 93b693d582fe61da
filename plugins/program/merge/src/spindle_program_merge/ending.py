"""Data that are merged as far as CC1/2 and completeness allow, and the file of all data beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_merging import DataEnd, MergingStatistics, data_end, merging_statistics, prepare_intensities
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines, resolution_ticks

from .params import MergeParams

__all__ = ["find_end", "page", "uncut_files"]


def find_end(
    table: ReflectionTable, cell: np.ndarray, group: Any, params: MergeParams, context: Any
) -> tuple[DataEnd, int]:
    """Where the data end, said with the fit, and how many unique reflections there are without a limit.

    Parameters
    ----------
    table : ReflectionTable
        With d, scaled.
    cell : (6,) float64
    group : gemmi.SpaceGroup
    params : MergeParams
    context : RunContext
    """
    data = prepare_intensities(
        table, "scale", combine_partials=params.combine_partials, partiality_threshold=params.partiality_threshold,
        d_max=params.d_max,
    )  # fmt: skip
    statistics = merging_statistics(
        data.table["miller_index"], data.values["scale"], data.variances["scale"], cell, group, params.merging.n_bins,
        params.merging.use_internal_variance,
    )  # fmt: skip
    found = data_end(statistics)
    context.table(found.table())
    where = "; ".join(
        f"{c.metric.label} = {c.limit:g} at " + ("none" if c.d_min is None else f"{c.d_min:.2f} A")
        for c in found.curves
    )
    if found.d_min is None or found.deciding is None:
        context.log.info("d_min=Auto: nothing is cut, the data go to %.2f A (%s)", statistics.overall.d_min, where)
    else:
        context.log.info(
            "d_min=Auto: cut at %.2f A by %s (%s); all data, to %.2f A, are in %s", found.d_min, found.deciding.metric.label, where,
            statistics.overall.d_min, params.output.uncut_mtz,
        )  # fmt: skip
    return found, statistics.overall.n_unique


def uncut_files(experiments: Experiments, table: ReflectionTable, params: MergeParams, context: Any) -> dict[str, Any]:
    """The file of all data, as this program writes it without a limit, of the same test set; without one in layers, which are others for other limits."""
    if params.output.uncut_mtz is None:
        return {}
    others: dict[str, Any] = {"output.mmcif": None, "output.html": None, "output.json": None}
    result = context.run_program(
        "merge", experiments, table, brief=True, params=params, d_min=None, assess_space_group=False,
        r_free_flags__generate=params.r_free_flags.generate and not params.r_free_flags.use_dataman_shells,
        **{"output.mtz": str(params.output.uncut_mtz), **others},
    )  # fmt: skip
    return dict(result.files)


#: Statistics by resolution: name, label.
BY_RESOLUTION = (
    ("cc_half", "CC1/2"), ("i_over_sigma", "I/sigma"), ("r_pim", "Rpim"), ("completeness", "completeness"), ("multiplicity", "multiplicity"),
    ("cc_anomalous", "CC anomalous"),
)  # fmt: skip


def page(
    tables: Sequence[Table],
    end: DataEnd | None,
    statistics: Sequence[tuple[str, MergingStatistics]],
    problems: Sequence[str],
) -> str:
    """The report of a run.

    Parameters
    ----------
    tables : sequence of Table
    end : DataEnd or None
        Where the data end, when that was looked for.
    statistics : sequence of (str, MergingStatistics)
        Of each wavelength, with its name.
    problems : sequence of str
        Why the data are not fit for structure solution.
    """
    found = Page("Merging")
    if problems:
        found.text(f"The merged data are not fit for structure solution: {'; '.join(problems)}.", "bad")
    else:
        o = statistics[0][1].overall
        found.text(
            f"{o.n_unique} unique reflections to {o.d_min:.2f} A, completeness {100 * o.completeness:.1f} %, multiplicity {o.multiplicity:.1f}, "
            f"I/sigma {o.i_over_sigma:.1f}, CC1/2 {o.cc_half:.3f}.", "good",
        )  # fmt: skip
    found.section("By resolution")
    for name, label in BY_RESOLUTION:
        curves = []
        for wave, of_wave in statistics:
            shells = of_wave.shells
            curves.append(
                (wave, [0.5 * (s.d_min**-2 + s.d_max**-2) for s in shells], [getattr(s, name) for s in shells])
            )
        found.plot(
            lines(label, "resolution (A)", label, curves, xaxis=resolution_ticks([v for c in curves for v in c[1]]))
        )
    if end is not None:
        found.section("Where the data end")
    for curve in end.curves if end is not None else ():
        x = curve.x.tolist()
        drawn = [("shells", x, curve.y.tolist()), ("limit", x, [curve.limit] * len(x))]
        if len(curve.fit):
            drawn.insert(1, ("fit", x, curve.fit.tolist()))
        ends = "" if curve.d_min is None else f", reached at {curve.d_min:.2f} A"
        title = f"{curve.metric.label}{ends}"
        found.plot(lines(title, "resolution (A)", curve.metric.label, drawn, xaxis=resolution_ticks(x)))
    found.section("Tables")
    found.tables(tables)
    return found.html()
