"""Groups of experiments, each written to files of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.report import Table
from spindle_lib_cells.clusters import clusters, tree
from spindle_lib_cells.distances import cell_distances, primitive_cells
from spindle_lib_pictures.figures import save_figure, tree_figure

__all__ = ["batches", "cell_groups", "dendrogram_writer"]


def _cells(experiments: Experiments) -> np.ndarray:
    """(n, 6) float64: cells of the crystals without centring.

    Raises
    ------
    ParameterError
        If an experiment has no crystal.
    """
    for number, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise ParameterError(
                f"clustering.use=True: experiment {number} has no crystal; leave it out, or index it first"
            )
    return primitive_cells([e.known_crystal for e in experiments])


def cell_groups(experiments: Experiments, params: Any, context: Any) -> tuple[list[tuple[int, list[int]]], np.ndarray]:
    """Groups of crystals with similar cells: number (the largest group has the largest) and places, largest first.

    Returns
    -------
    groups : list of (int, list of int)
        Those that are to be written.
    distances : (n, n) float64, angstrom^2
    """
    distances = cell_distances(_cells(experiments))
    found = clusters(distances, params.threshold)
    rows = []
    for k, members in enumerate(found):
        cells = np.array([experiments[i].known_crystal.cell for i in members])
        middle = np.median(cells, axis=0)
        rows.append([len(found) - k, len(members), " ".join(f"{v:.2f}" for v in middle), listed(members)])
    context.table(
        Table(
            "Groups of similar unit cells",
            ["Cluster", "Crystals", "Median cell (A, deg)", "Experiments"],
            rows,
            "cell_groups",
        )
    )
    groups = [(len(found) - k, members) for k, members in enumerate(found)]
    if params.exclude_single_crystal_clusters:
        groups = [(k, members) for k, members in groups if len(members) > 1]
    if not groups:
        raise ParameterError(
            f"clustering: no two of the {len(experiments)} crystals are of one group with threshold={params.threshold}; widen it, or set "
            "clustering.exclude_single_crystal_clusters=False"
        )
    return groups[: params.max_clusters], distances


def listed(members: list[int], most: int = 12) -> str:
    """Numbers as text, the first of many."""
    shown = " ".join(map(str, members[:most]))
    return shown if len(members) <= most else f"{shown} ..."


def batches(places: list[int], size: int | None) -> list[list[int]]:
    """Places in parts of nearly equal length, none longer than `size`."""
    if size is None:
        return [places]
    n = max(-(-len(places) // size), 1)
    edges = [len(places) * k // n for k in range(n + 1)]
    return [places[a:b] for a, b in pairwise(edges)]


def dendrogram_writer(distances: np.ndarray, threshold: int | None, names: list[str]) -> Callable[[Path], None]:
    """Writer of a picture of the tree of the cells."""

    def write(target: Path) -> None:
        save_figure(tree_figure(tree(distances), names, threshold), target, ".png")

    return write
