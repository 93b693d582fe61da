"""Tables, record and page of the program `correlation_matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import leaves_list

from spindle.report import Table
from spindle_lib_data_set_correlations.coordinates import Coordinates, principal_axes
from spindle_lib_pages import Page
from spindle_lib_pages.figures import bars, dendrogram_lines, heat_map, histogram, lines, points

from .clusters import Branch, Dense
from .sets import ComparedSets

__all__ = ["branch_table", "dense_table", "page", "record"]

MOST_ROWS = 100
MOST_LEAVES = 200


def branch_table(title: str, key: str, found: Sequence[Branch], sets: ComparedSets, most: int | None = None) -> Table:
    """Groups of a tree, the highest last."""
    rows = []
    for branch in found if most is None else found[-most:]:
        names = [str(sets.names[i]) for i in branch.members]
        shown = " ".join(names[:20]) + (" ..." if len(names) > 20 else "")
        rows.append(
            [branch.number, len(names), shown, float(f"{branch.height:.2g}"), round(branch.multiplicity, 1),
             round(branch.completeness, 2)]
        )  # fmt: skip
    headers = ["Cluster", "No. datasets", "Datasets", "Height", "Multiplicity", "Completeness"]
    return Table(title, headers, rows, key)


def dense_table(dense: Dense, found: Coordinates, sets: ComparedSets, mean_cc: np.ndarray) -> Table:
    """Each data set with its length, its mean correlation and its cluster."""
    rows = [
        [name, len(sets.keys[i]), round(float(found.lengths[0, i]), 3),
         round(float(mean_cc[i]), 3) if np.isfinite(mean_cc[i]) else None,
         int(dense.labels[i]) if dense.labels[i] >= 0 else "none"]
        for i, name in enumerate(sets.names)
    ]  # fmt: skip
    headers = ["Data set", "Unique reflections", "Length of vector", "Mean CC with others", "Cluster"]
    return Table("Data sets", headers, rows, "data_sets")


def record(
    trees: dict[str, tuple[np.ndarray, list[Branch]]], cc: np.ndarray, cosines: np.ndarray, found: Coordinates, dense: Dense,
    sets: ComparedSets, identifiers: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Plain values of all that was found."""
    turned, fractions = principal_axes(found.vectors[0])

    def groups(branches: Sequence[Branch]) -> dict[str, Any]:
        return {
            str(b.number): {"datasets": [identifiers[i] for i in b.members], "height": b.height,
                            "multiplicity": b.multiplicity, "completeness": b.completeness, "unit_cell": b.cell.tolist()}
            for b in branches
        }  # fmt: skip

    return {
        "datasets": list(identifiers),
        "correlation_matrix_clustering": groups(trees["cc"][1]),
        "correlation_matrix": [[v if np.isfinite(v) else None for v in row] for row in cc.tolist()],
        "cos_matrix_clustering": groups(trees["cos"][1]),
        "cos_angle_matrix": cosines.tolist(),
        "linkage": {key: found_tree[0].tolist() for key, found_tree in trees.items()},
        "coordinates": turned.tolist(),
        "explained": fractions.tolist(),
        "dimensions": [{"dimension": d, "functional": residual} for d, residual in found.tried],
        "significant_clusters": {"labels": dense.labels.tolist(), "min_points": dense.neighbours,
                                 "silhouette": dense.silhouette if np.isfinite(dense.silhouette) else None},
        "left_out": {str(i): reason for i, reason in sets.left_out.items()},
    }  # fmt: skip


def page(
    trees: dict[str, tuple[np.ndarray, list[Branch]]], cc: np.ndarray, cosines: np.ndarray, found: Coordinates, dense: Dense,
    sets: ComparedSets, tables: Sequence[Table],
) -> str:  # fmt: skip
    """A page with the tables and plots."""
    names = [str(i) for i in sets.names]
    out = Page("Correlations between data sets", f"{len(names)} data sets in {sets.group.xhm()}, to {sets.d_min:.2f} A")
    out.section("Data sets")
    out.tables(t for t in tables if t.key in ("data_sets", "left_out"))
    known = cc[np.triu_indices(len(cc), 1)]
    out.plot(histogram("Correlations of pairs", "CC", known, min(100, max(20, len(known) // 10))))
    out.section("Coordinates")
    out.plots(_coordinate_plots(found, dense, names))
    finite = dense.reachability[np.isfinite(dense.reachability)]
    top = 1.1 * float(finite.max()) if len(finite) else 1.0
    height = np.where(np.isfinite(dense.reachability), dense.reachability, top)
    labels = dense.labels[dense.ordering]
    groups = [
        (f"cluster {k}" if k >= 0 else "none", np.flatnonzero(labels == k), height[labels == k])
        for k in np.unique(labels)
    ]
    out.plot(bars("Reachability", "order", "distance", groups))
    curve = ("", [d for d, _ in found.tried], [r for _, r in found.tried])
    out.plot(lines("Choice of the dimension", "dimension", "residual", [curve]))
    for key, title, matrix in (("cc", "Correlation", cc), ("cos", "Cosine of the angle", cosines)):
        out.section(f"Clusters by {'correlation' if key == 'cc' else 'angle'}")
        linkage = trees[key][0]
        order = leaves_list(linkage)
        ticks = {"tickvals": list(range(len(order))), "ticktext": [names[i] for i in order]}
        out.plot(
            heat_map(title, "data set", "data set", matrix[np.ix_(order, order)], xaxis=ticks, yaxis=ticks, high=1.0),
            wide=True,
        )
        if len(names) <= MOST_LEAVES:
            out.plot(dendrogram_lines("Tree", "distance", linkage, names), wide=True)
        out.tables(t for t in tables if t.key == f"{key}_clusters")
    return out.html()


def _coordinate_plots(found: Coordinates, dense: Dense, names: Sequence[str]) -> list[dict[str, Any]]:
    turned, fractions = principal_axes(found.vectors[0])
    figures = []
    dimension = min(turned.shape[1], 6)
    pairs = [(0, 1)] if dimension == 2 else [(a, a + 1) for a in range(dimension - 1)]
    for first, second in pairs:
        groups, labels = [], []
        for k in np.unique(dense.labels):
            rows = np.flatnonzero(dense.labels == k).tolist()
            groups.append((f"cluster {k}" if k >= 0 else "none", turned[rows, first], turned[rows, second]))
            labels.append([f"data set {names[i]}" for i in rows])
        x, y = (f"axis {a + 1} ({100 * fractions[a]:.1f} %)" for a in (first, second))
        figures.append(points("Coordinates", x, y, groups, labels))
    return figures
