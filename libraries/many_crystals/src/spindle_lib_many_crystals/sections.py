"""Sections of pages that programs of many crystals share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spindle.report import Table
from spindle_lib_pages import Page
from spindle_lib_pages.figures import histograms, lines, resolution_ticks

from .reduction import Reduced

__all__ = ["by_resolution", "filter_section", "removed_table", "shell_section"]

#: Statistics by resolution: name, label.
BY_RESOLUTION = (
    ("cc_half", "CC1/2"), ("i_over_sigma", "I/sigma"), ("completeness", "completeness"), ("multiplicity", "multiplicity"), ("r_pim", "Rpim"),
    ("cc_anomalous", "CC anomalous"),
)  # fmt: skip
#: Statistics of the cycles of the filter: name, label.
BY_CYCLE = (("cc_half", "CC1/2"), ("r_pim", "Rpim"), ("i_over_sigma", "I/sigma"), ("completeness", "completeness"))
CYCLE_BY_RESOLUTION = (("cc_half", "CC1/2"), ("r_pim", "Rpim"), ("r_merge", "Rmerge"))


def by_resolution(reduced: Sequence[Reduced]) -> list[dict[str, Any]]:
    """Figures of statistics by resolution, a curve for each of the merged data."""
    return _by_resolution([(r.name, r.statistics["shells"]) for r in reduced], BY_RESOLUTION)


def _by_resolution(
    named: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], wanted: Sequence[tuple[str, str]], suffix: str = ""
) -> list[dict[str, Any]]:
    figures = []
    for name, label in wanted:
        curves = [
            (n, [(s["d_min"] ** -2 + s["d_max"] ** -2) / 2 for s in shells], [s[name] for s in shells])
            for n, shells in named
        ]
        ticks = resolution_ticks(np.concatenate([c[1] for c in curves]))
        figures.append(lines(label + suffix, "", label, curves, xaxis=ticks))
    return figures


def shell_section(out: Page, reduced: Sequence[Reduced]) -> None:
    """Statistics of each of the merged data by shell."""
    out.section("Statistics by shell")
    for r in reduced:
        out.tables(
            Table(f"{r.name}: the last line is of all shells", t.headers, t.rows, t.key)
            for t in r.tables if t.key == "merging_statistics_by_shell"
        )  # fmt: skip


def removed_table(done: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    """What the filter has removed.

    Parameters
    ----------
    done : dict
        What the filter of `spindle scale` says of itself.
    names : dict of str to str
        What the user calls each data set, by identifier.
    """
    start = done["initial_expids_and_image_ranges"]
    rows = []
    for cycle in done["cycles"]:
        worth = cycle.get("removed_delta_cc_half", [])
        ranges = cycle.get("removed_ranges")
        if ranges is None:
            known = dict(start)
            ranges = [(name, *known[name]) for name in cycle.get("removed_datasets", [])]
        else:
            ranges = [(start[k][0], first, last) for k, first, last in ranges]
        rows += [
            [names.get(name, name), name, f"{first}-{last}", cycle["cycle"], round(value, 4)]
            for (name, first, last), value in zip(ranges, worth, strict=True)
        ]
    return Table(
        "Removed by the filter", ["Data set", "Identifier", "Images", "Cycle", "Delta CC1/2 (%)"], rows, "removed"
    )


def filter_section(out: Page, reduced: Reduced, names: Mapping[str, str]) -> None:
    """Cycles of the filter, what it has removed, and what that did to the data; see `removed_table`."""
    done = reduced.filtered
    assert done is not None
    out.section("Filter by CC1/2")
    cycles = done["cycles"]
    removed = removed_table(done, names)
    out.text(f"The filter ended: {done['termination_reason'].replace('_', ' ')}.")
    rows = [
        [c["cycle"], round(c["mean_cc_half"], 3), c["n_removed"], round(c["cumul_percent_removed"], 2),
         sum(row[3] == c["cycle"] for row in removed.rows)] for c in cycles
    ]  # fmt: skip
    headers = ["Cycle", "Mean CC1/2 (%)", "Observations removed", "Percent so far", "Sets or groups removed"]
    out.table(Table("Cycles", headers, rows, "filter"))
    if removed.rows:
        out.table(removed)
    if len(cycles) > 1:
        number = [c["cycle"] for c in cycles]
        out.plot(
            lines("Mean CC1/2 by cycle", "cycle", "CC1/2 (%)", [("", number, [c["mean_cc_half"] for c in cycles])],
                  xaxis={"dtick": 1})
        )  # fmt: skip
    after = [("as scaled first", done["initial_merging_stats"])]
    after += [(f"after cycle {c['cycle']}", c["merging_stats"]) for c in cycles if "merging_stats" in c]
    for name, label in BY_CYCLE if len(after) > 1 else ():
        values = [stats["overall"][name] for _, stats in after]
        out.plot(
            lines(
                f"{label} after each cycle",
                "cycles",
                label,
                [("", list(range(len(after))), values)],
                xaxis={"dtick": 1},
            )
        )
    if len(after) > 1:
        out.plots(_by_resolution([(n, stats["shells"]) for n, stats in after], CYCLE_BY_RESOLUTION, ", cycle by cycle"))
    for cycle in cycles:
        gone = np.asarray(cycle.get("removed_delta_cc_half", []), dtype=float)
        kept = np.asarray(cycle["delta_cc_half_values"], dtype=float)
        kept = kept[~np.isin(kept, gone)]
        out.plot(histograms(f"Cycle {cycle['cycle']}", "delta CC1/2 (%)", [("kept", kept), ("removed", gone)], 40))
    if any("removed_ranges" in c for c in cycles):
        _images_kept(out, done, names)


def _images_kept(out: Page, done: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """How many images of each set are left."""
    from spindle_lib_pages.figures import bars

    start = done["initial_expids_and_image_ranges"]
    gone = np.zeros(len(start), dtype=int)
    for cycle in done["cycles"]:
        for k, first, last in cycle.get("removed_ranges", []):
            gone[k] += last - first + 1
    left = [last - first + 1 - int(n) for (_, (first, last)), n in zip(start, gone, strict=True)]
    x = [names.get(name, name) for name, _ in start]
    groups = [("kept", x, left), ("removed", x, gone.tolist())]
    out.plot(bars("Images of each data set", "data set", "images", groups, barmode="stack", xaxis={"type": "category"}))
