"""The page of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list

from spindle.report import Table
from spindle_lib_many_crystals import by_resolution, filter_section, shell_section, summary_of
from spindle_lib_pages import Page
from spindle_lib_pages.figures import bars, dendrogram_lines, heat_map, histogram, lines, points

from .findings import Findings, set_table

__all__ = ["cluster_page", "page"]

CELL = ("a (A)", "b (A)", "c (A)", "alpha (deg)", "beta (deg)", "gamma (deg)")
MOST_LEAVES = 200
MOST_COLOURS = 12


def page(found: Findings, params: Any) -> str:
    """All of it on one page."""
    whole = found.whole
    group = whole.experiments[0].known_crystal.space_group.xhm()
    out = Page("Many crystals", f"{len(found.data)} of {len(found.data.given)} data sets, {group}")
    for mood, text in found.verdicts():
        out.text(text + ".", mood)
    out.section("Merged data")
    out.table(summary_of(found.reduced))
    out.tables(t for t in whole.tables if t.key == "merging_statistics_summary")
    out.plots(by_resolution(found.reduced))
    out.section("Data sets")
    out.table(set_table(found, None))
    if found.contributions:
        _contributions(out, found)
    if found.cells is not None:
        _cells(out, found, params)
    if found.cosym:
        _symmetry(out, found)
    if found.alike is not None:
        _alike(out, found)
    if found.damage is not None:
        _damage(out, found.damage)
    names = {e.identifier: str(place) for place, e in enumerate(found.data.given)}
    for reduced in found.reduced:
        if reduced.filtered is not None:
            filter_section(out, reduced, names)
    shell_section(out, found.reduced)
    out.section("Steps")
    if found.steps is not None:
        out.table(found.steps)
    if found.warnings:
        out.table(Table("Warnings", ["Step", ""], [list(w) for w in found.warnings], "warnings"))
    return out.html()


def cluster_page(found: Findings) -> str:
    """The groups of data sets alone."""
    out = Page("Groups of data sets", f"{len(found.data)} data sets")
    out.section("Merged data")
    out.table(summary_of(found.reduced))
    _alike(out, found)
    return out.html()


def _contributions(out: Page, found: Findings) -> None:
    place = {e.identifier: p for e, p in zip(found.data.experiments, found.data.places, strict=True)}
    known = sorted((place[name], 100 * v) for name, v in found.contributions.items() if name in place)
    out.plot(histogram("What each set adds to CC1/2", "delta CC1/2 (%)", [v for _, v in known], 40))
    out.plot(
        bars(
            "What each set adds to CC1/2",
            "data set",
            "delta CC1/2 (%)",
            [("", [p for p, _ in known], [v for _, v in known])],
        )
    )


def _cells(out: Page, found: Findings, params: Any) -> None:
    cells = found.cells
    assert cells is not None
    out.section("Unit cells")
    out.tables(cells.tables)
    if 1 < len(cells.labels) <= MOST_LEAVES:
        figure = dendrogram_lines(
            "Distances of cells",
            "distance (A^2)",
            cells.linkage,
            [str(p) for p in cells.labels],
            params.unit_cell_clustering.threshold,
        )
        if params.unit_cell_clustering.log:
            figure["layout"]["yaxis"]["type"] = "log"
        out.plot(figure, wide=True)
    at = {place: i for i, place in enumerate(cells.labels)}
    groups = [[at[p] for p in members] for members in cells.groups[:MOST_COLOURS]]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        curves = [(f"group {k + 1}", cells.cells[g, first], cells.cells[g, second]) for k, g in enumerate(groups)]
        said = [[f"data set {cells.labels[i]}" for i in g] for g in groups]
        out.plot(points(f"{CELL[first]} and {CELL[second]}", CELL[first], CELL[second], curves, said))
    out.plots(
        histogram(name, name, cells.cells[:, k], 30) for k, name in enumerate(CELL) if np.ptp(cells.cells[:, k]) > 1e-6
    )


def _symmetry(out: Page, found: Findings) -> None:
    out.section("Symmetry and indexing")
    if found.cosym.get("undecided"):
        out.text(f"The symmetry is not decided: {found.cosym['undecided']}.", "bad")
    out.tables(t for t in found.cosym_tables if t.key in ("symmetry_elements", "symmetry_subgroups"))
    where = found.cosym["coordinates"]
    vectors = np.array(where["vectors"])
    taken = np.zeros(vectors.shape[:2], dtype=bool)
    taken[[e["indexing"] for e in found.cosym["data_sets"]], np.arange(vectors.shape[1])] = True
    names = np.array([
        [f"set {e['data_set']}, indexing {k}" for e in found.cosym["data_sets"]] for k in range(len(vectors))
    ])  # fmt: skip
    groups = (("other indexings", ~taken), ("taken", taken))
    curves = [(label, vectors[rows][:, 0], vectors[rows][:, 1]) for label, rows in groups]
    said = [names[rows].tolist() for _, rows in groups]
    x, y = (f"axis {a + 1} ({100 * where['explained'][a]:.0f} %)" for a in (0, 1))
    out.plot(points("Vectors of the data sets", x, y, curves, said, yaxis={"scaleanchor": "x", "scaleratio": 1}))
    tried = found.cosym["dimensions"]
    out.plot(
        lines(
            "Choice of the dimension",
            "dimension",
            "residual",
            [("", [t["dimension"] for t in tried], [t["functional"] for t in tried])],
        )
    )


def _alike(out: Page, found: Findings) -> None:
    alike = found.alike
    assert alike is not None
    out.section("Which data sets are alike")
    place = {e.identifier: p for e, p in zip(found.data.given, range(len(found.data.given)), strict=True)}
    names = [str(place.get(name, name)) for name in alike["datasets"]]
    turned, labels = np.array(alike["coordinates"]), np.array(alike["significant_clusters"]["labels"])
    curves, said = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        curves.append((f"cluster {label}" if label >= 0 else "none", turned[rows, 0], turned[rows, 1]))
        said.append([f"data set {names[i]}" for i in rows])
    x, y = (f"axis {a + 1} ({100 * alike['explained'][a]:.0f} %)" for a in (0, 1))
    out.plot(points("Coordinates", x, y, curves, said))
    cc = np.array(alike["correlation_matrix"], dtype=float)
    out.plot(histogram("Correlations of pairs", "CC", cc[np.triu_indices(len(cc), 1)], min(100, max(20, len(cc)))))
    for key, title, matrix in (
        ("cos", "Cosine of the angle", alike["cos_angle_matrix"]),
        ("cc", "Correlation", alike["correlation_matrix"]),
    ):
        linkage, values = np.array(alike["linkage"][key]), np.array(matrix, dtype=float)
        order = leaves_list(linkage)
        ticks = {"tickvals": list(range(len(order))), "ticktext": [names[i] for i in order]}
        out.plot(
            heat_map(title, "data set", "data set", values[np.ix_(order, order)], xaxis=ticks, yaxis=ticks, high=1.0),
            wide=True,
        )
        if len(names) <= MOST_LEAVES:
            out.plot(dendrogram_lines(f"Tree: {title.lower()}", "height", linkage, names), wide=True)
        listed = [
            [g.number, len(g.members), " ".join(sorted((str(place.get(m, m)) for m in g.members), key=_natural)), float(f"{g.height:.2g}"),
             round(g.multiplicity, 1), round(g.completeness, 2)] for g in reversed(found.groups[key])
        ]  # fmt: skip
        headers = ["Cluster", "No. datasets", "Datasets", "Height", "Multiplicity", "Completeness"]
        out.table(Table(f"Groups, the largest first: {title.lower()}", headers, listed, f"{key}_groups"))


def _natural(word: str) -> tuple[int, str]:
    return (int(word), "") if word.isdigit() else (1 << 60, word)


def _damage(out: Page, damage: dict[str, Any]) -> None:
    out.section("Radiation damage")
    out.text(f"{damage['verdict']}. The dose of an observation is its image number in its own sweep.")
    x = damage["doses"]
    for name, label in (("rcp", "Rcp"), ("scp", "Scp"), ("completeness", "completeness")):
        out.plot(lines(label, "image", label, [("", x, damage[name])]))
    out.plot(lines("Rd", "difference of images", "Rd", [("", damage["differences"], damage["rd"])]))
