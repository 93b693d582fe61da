"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from spindle.report import Table
from spindle_lib_pages import Page
from spindle_lib_pages.figures import bars, heat_map, lines, resolution_ticks

from .against_truth import AgainstTruth
from .contestant import Contestant
from .ranking import FEWEST_PAIRS, Ranking
from .versus import Level

__all__ = ["comparison_page"]

#: One for each contestant; after the last they begin anew, with other dashes and marks.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f6000", "#555555")
ROUNDS = (("solid", "circle"), ("dash", "square"), ("dot", "diamond"), ("dashdot", "cross"))
TITLES = {"counts": "Counts", "scaled": "Scaled intensities", "merged": "Merged intensities"}
ALONG = {
    "signal": ("I / sigma", "log"),
    "inverse_d_squared": ("1/d2 (1/A2)", ""),
    "image": ("image", ""),
    "fast": ("fast (px)", ""),
    "slow": ("slow (px)", ""),
}


def comparison_page(
    title: str,
    verdict: Sequence[tuple[str, str]],
    contestants: list[Contestant],
    ranking: Ranking,
    levels: list[Level],
    common: dict[str, Any],
    truth: AgainstTruth | None,
    tables: dict[str, Table],
    notes: Sequence[str],
) -> str:
    """All of it as one page of HTML.

    Parameters
    ----------
    title : str
    verdict : sequence of (sentence, mood)
    contestants, ranking, levels, common, truth
        What was found.
    tables : dict of str to Table
        By key.
    notes : sequence of str
    """
    page = Page("Comparison", title)
    names = [*ranking.order, *(c.name for c in contestants if c.name not in ranking.order)]
    below = partial(_below, styles_of(names))
    page.section("Verdict")
    for sentence, mood in verdict:
        page.text(sentence, mood)
    page.tables(_halves(tables["compare"], "CC1/2", "Spots and integration", "Merged, errors and cost"))
    if "compare_failed" in tables:
        page.table(tables["compare_failed"])
    for note in notes:
        page.text(note, "doubtful")
    if truth is not None and "compare_truth" in tables:
        page.section("Against the truth")
        page.text(
            "Efficiency 1 is the least error that counting statistics allow with background, place and profile known; bias 0 and rms z 1 are "
            "an honest intensity with an honest sigma."
        )
        page.tables(
            _halves(
                tables["compare_truth"], "Scale", "Places and efficiency", "Errors of counts and scaled intensities"
            )
        )
        page.plots(below(f) for f in _truth_plots(truth, ranking))
    if common:
        page.section("Merged")
        if "compare_common" in tables:
            page.table(tables["compare_common"])
        page.plots(below(f) for f in _merging_plots(common))
    for level in levels:
        key = f"compare_{level.name}"
        if key not in tables:
            continue
        page.section(f"{TITLES[level.name]}, pair by pair")
        page.text(
            "Differences are in units of the sigma of one contestant, y - slope x. Contestants that measured the same images share their "
            "counting errors, so that differences well below 1 are usual; what matters is a trend."
        )
        page.table(tables[key])
        page.plots(below(f) for f in _pair_plots(level, ranking))
    if "compare_cost" in tables:
        page.section("Time and memory")
        page.table(tables["compare_cost"])
        page.plot(_cost_plot(contestants), wide=True)
    return page.html()


def _halves(table: Table, begins: str, first: str, second: str) -> list[Table]:
    """A table too wide for a page as two, the second from the column `begins` on, both with rank and contestant."""
    cut = list(table.headers).index(begins)
    return [
        Table(first, table.headers[:cut], [row[:cut] for row in table.rows]),
        Table(second, [*table.headers[:2], *table.headers[cut:]], [[*row[:2], *row[cut:]] for row in table.rows]),
    ]


def styles_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Line and mark of each contestant: no two of the first 32 look alike."""
    styles = {}
    for i, name in enumerate(names):
        turn, number = divmod(i, len(COLOURS))
        dash, symbol = ROUNDS[turn % len(ROUNDS)]
        styles[name] = {"line": {"color": COLOURS[number], "dash": dash}, "marker": {"symbol": symbol}}
    return styles


def _below(styles: dict[str, dict[str, Any]], figure: dict[str, Any]) -> dict[str, Any]:
    """The same with its legend below, since contestants have long names, and with the line of each contestant on the whole page."""
    data = [d | _styled(d, styles[d["name"]]) if d.get("name") in styles else d for d in figure["data"]]
    layout = figure["layout"]
    title = {**layout["title"], "x": 0.01, "xanchor": "left", "font": {"size": 14}}
    legend = {"orientation": "h", "y": -0.32, "yanchor": "top", "font": {"size": 10}}
    return {**figure, "data": data, "layout": {**layout, "title": title, "legend": legend}}


def _styled(trace: dict[str, Any], style: dict[str, Any]) -> dict[str, Any]:
    return {key: {**(trace.get(key) or {}), **value} for key, value in style.items()}


def _truth_plots(truth: AgainstTruth, ranking: Ranking) -> list[dict[str, Any]]:
    rows = {n: truth.rows[n] for n in ranking.order if n in truth.rows and truth.rows[n].by_counts}
    log = {"type": "log"}
    plots = []
    for key, title, name, factor in (
        ("efficiency", "Efficiency by intensity", "efficiency", 1),
        ("bias", "Bias by intensity", "(found - true) / true (%)", 100),
        ("rms_z", "rms z by intensity", "rms of (found - true) / sigma", 1),
    ):
        curves = [(n, r.by_counts["counts"], factor * r.by_counts[key]) for n, r in rows.items()]
        layout: dict[str, Any] = {"yaxis": {"rangemode": "tozero"}} if key != "bias" else _clipped(curves)
        if curves:
            plots.append(lines(title, "true counts", name, curves, xaxis=log, **layout))
    shells = [(n, r.counts) for n, r in rows.items() if r.counts is not None]
    for title, name, attribute in (
        ("rms z by resolution", "rms of (found - true) / sigma", "z_rms"),
        ("Counts found / true by resolution", "found / true", "ratio"),
    ):
        curves = [(n, _middle(a.d_max, a.d_min), getattr(a, attribute)) for n, a in shells]
        if curves:
            plots.append(lines(title, "", name, curves, xaxis=_resolution(curves)))
    scaled = [
        (n, _middle(r.scaled.d_max, r.scaled.d_min), r.scaled.z_rms) for n, r in rows.items() if r.scaled is not None
    ]
    if scaled:
        plots.append(
            lines("rms z of scaled intensities", "", "rms of (found - true) / sigma", scaled, xaxis=_resolution(scaled))
        )
    return plots


def _clipped(curves: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    """A range in which the weakest, whose relative bias is large, do not hide the others."""
    values = np.concatenate([np.asarray(y) for _, _, y in curves]) if curves else np.zeros(1)
    limit = max(2.0, float(np.nanpercentile(np.abs(values), 85)) * 1.5)
    return {"yaxis": {"range": [-limit, limit]}}


def _middle(d_max: np.ndarray, d_min: np.ndarray) -> np.ndarray:
    return 0.5 * (np.asarray(d_max) ** -2.0 + np.asarray(d_min) ** -2.0)


def _resolution(curves: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    return resolution_ticks(np.concatenate([np.asarray(x) for _, x, _ in curves]))


def _merging_plots(common: dict[str, Any]) -> list[dict[str, Any]]:
    plots = []
    for title, name, attribute in (
        ("CC1/2", "CC1/2", "cc_half"), ("Rpim", "Rpim", "r_pim"), ("Anomalous correlation", "CC ano", "cc_anomalous"),
        ("I / sigma", "I / sigma", "i_over_sigma"),
    ):  # fmt: skip
        curves = []
        for contestant, statistics in common.items():
            shells = statistics.shells
            x = np.array([0.5 * (s.d_max**-2 + s.d_min**-2) for s in shells])
            values = [getattr(s, attribute) if s.n_half >= FEWEST_PAIRS else np.nan for s in shells]
            curves.append((contestant, x, np.array(values)))
        plots.append(lines(f"{title}, the same observations", "", name, curves, xaxis=_resolution(curves)))
    return plots


def _pair_plots(level: Level, ranking: Ranking) -> list[dict[str, Any]]:
    """Differences of all to one contestant, the best or the first, and correlations of all with all."""
    names = list(level.found)
    base = next((n for n in ranking.order if n in level.found), names[0])
    plots = []
    for key, (x_title, kind) in ALONG.items():
        curves = []
        for duel in level.duels:
            if base in (duel.first, duel.second) and key in duel.along:
                sign = 1.0 if base == duel.first else -1.0
                other = duel.second if base == duel.first else duel.first
                curves.append((other, duel.along[key]["x"], sign * duel.along[key]["mean"]))
        if not curves:
            continue
        axis: dict[str, Any] = {"type": "log"} if kind == "log" else {}
        if key == "inverse_d_squared":
            axis, x_title = _resolution(curves), ""
        plots.append(lines(f"Less {base}", x_title, "mean difference (sigma)", curves, xaxis=axis))
    if len(names) > 2:
        plots.append(_matrix(level, names))
    return plots


def _matrix(level: Level, names: list[str]) -> dict[str, Any]:
    z = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(z, 1.0)
    for duel in level.duels:
        i, j = names.index(duel.first), names.index(duel.second)
        z[i, j] = z[j, i] = duel.statistics.cc
    axis = {"tickangle": -30, "automargin": True}
    return heat_map(
        "Correlation", "", "", z, names, names, xaxis=axis, yaxis={"automargin": True, "autorange": "reversed"}
    )


def _cost_plot(contestants: list[Contestant]) -> dict[str, Any]:
    steps = list(dict.fromkeys(cost.name for c in contestants for cost in c.costs))
    names = [c.name for c in contestants if c.costs]
    groups = []
    for step in steps:
        values = [
            next(
                (
                    (cost.cpu_seconds if cost.cpu_seconds is not None else cost.seconds)
                    for cost in c.costs
                    if cost.name == step
                ),
                0.0,
            )
            for c in contestants
            if c.costs
        ]
        groups.append((step, names, values))
    return bars("CPU seconds by step", "", "seconds", groups, barmode="stack", xaxis={"automargin": True})
