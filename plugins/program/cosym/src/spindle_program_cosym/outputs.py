"""What `cosym` leaves behind besides the data: a record and a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.report import Table
from spindle.symmetry import patterson_group
from spindle_lib_data_set_correlations.coordinates import Coordinates, principal_axes
from spindle_lib_data_set_correlations.pairs import PairCorrelations
from spindle_lib_pages import Page
from spindle_lib_pages.figures import dendrogram_lines, histogram, lines, points

from .decision import Decision
from .indexing import Indexing
from .sets import Choice

__all__ = ["page", "record"]

MOST_LEAVES = 200
CELL = ("a (A)", "b (A)", "c (A)", "alpha (deg)", "beta (deg)", "gamma (deg)")


def record(
    decision: Decision, indexing: Indexing, found: Coordinates, pairs: PairCorrelations, choice: Choice
) -> dict[str, Any]:
    """Plain values of all that was found."""
    turned, fractions = principal_axes(found.vectors.reshape(-1, found.vectors.shape[2]))
    return {
        "space_group": decision.group.xhm(),
        "undecided": decision.undecided,
        "sym_op_scores": [
            {"operator": e.rotation.tolist(), "likelihood": e.likelihood, "cc": e.cc, "z_cc": e.z_cc}
            for e in decision.elements
        ],
        "subgroup_scores": [
            {"patterson_group": patterson_group(s.subgroup.group).hm, "likelihood": s.likelihood, "confidence": s.confidence,
             "z_cc_net": s.z_net, "z_cc_for": s.z_for, "z_cc_against": s.z_against,
             "max_angular_difference": s.subgroup.max_angular_difference, "cb_op": s.subgroup.to_best.as_abc()}
            for s in decision.subgroups
        ],
        "dimensions": [{"dimension": d, "functional": residual} for d, residual in found.tried],
        "coordinates": {"vectors": turned.reshape(found.vectors.shape).tolist(), "explained": fractions.tolist(),
                        "operators": [o.tolist() for o in pairs.operators]},
        "data_sets": [
            {"data_set": choice.kept[i], "change_of_basis": decision.operators[i].as_abc(), "indexing": int(indexing.places[i]),
             "length": float(found.lengths[:, i].mean()), "cosine": float(indexing.cosine[i]),
             "lead": float(decision.margin[i]) if np.isfinite(decision.margin[i]) else None}
            for i in range(len(choice.kept))
        ],
        "left_out": {str(i): reason for i, reason in choice.reasons.items()},
        "unit_cells": choice.cells.tolist(),
    }  # fmt: skip


def page(
    decision: Decision, indexing: Indexing, found: Coordinates, pairs: PairCorrelations, choice: Choice, tables: Sequence[Table],
    params: Any,
) -> str:  # fmt: skip
    """A page with the tables and plots."""
    out = Page("Symmetry of many crystals", f"{len(choice.kept)} data sets, space group {decision.group.xhm()}")
    if decision.undecided:
        out.text(f"The symmetry is not decided: {decision.undecided}.", "bad")
    out.section("Symmetry")
    shown = [t for t in tables if t.key in ("symmetry_elements", "symmetry_subgroups")]
    out.tables(shown)
    if not shown:
        out.text(
            f"The space group was given as {decision.group.xhm()}; only indexings that it leaves open were compared."
        )
    out.section("Data sets")
    out.tables(t for t in tables if t.key in ("data_sets", "left_out"))
    out.section("Correlations and coordinates")
    known = pairs.cc[np.isfinite(pairs.cc)]
    out.plot(histogram("Correlations of pairs of data sets", "CC", known, 60))
    out.plots(_coordinate_plots(indexing, found, choice))
    if len(found.tried) > 1:
        curve = ("", [d for d, _ in found.tried], [r for _, r in found.tried])
        out.plot(lines("Choice of the dimension", "dimension", "residual", [curve]))
    out.section("Unit cells")
    out.tables(t for t in tables if t.key == "cell_groups")
    out.plots(
        histogram(f"{name} in the common primitive setting", name, choice.cells[:, k], 30)
        for k, name in enumerate(CELL) if np.ptp(choice.cells[:, k]) > 1e-6
    )  # fmt: skip
    if choice.linkage is not None and len(choice.leaves) <= MOST_LEAVES:
        names = [str(i) for i in choice.leaves]
        tree = dendrogram_lines(
            "Groups of cells", "distance (A^2)", choice.linkage, names, params.unit_cell_clustering.threshold
        )
        if params.unit_cell_clustering.log:
            tree["layout"]["yaxis"]["type"] = "log"
        out.plot(tree, wide=True)
    return out.html()


def _coordinate_plots(indexing: Indexing, found: Coordinates, choice: Choice) -> list[dict[str, Any]]:
    """Vectors along pairs of their principal axes: those taken, and those of the other indexings."""
    n_operators, n_sets, dimension = found.vectors.shape
    turned, fractions = principal_axes(found.vectors.reshape(-1, dimension))
    taken = np.zeros((n_operators, n_sets), dtype=bool)
    taken[indexing.places, np.arange(n_sets)] = True
    which = taken.ravel()
    names = np.array([f"data set {choice.kept[i]}, indexing {k}" for k in range(n_operators) for i in range(n_sets)])
    figures = []
    for first, second in [(0, 1), (0, 2), (1, 2)] if dimension > 2 else [(0, 1)]:
        groups = [
            (name, turned[rows, first], turned[rows, second])
            for name, rows in (("other indexings", ~which), ("taken", which))
        ]
        labels = [names[~which].tolist(), names[which].tolist()]
        x, y = (f"axis {a + 1} ({100 * fractions[a]:.0f} %)" for a in (first, second))
        equal = {"scaleanchor": "x", "scaleratio": 1}
        figures.append(points("Vectors of the data sets", x, y, groups, labels, yaxis=equal))
    return figures
