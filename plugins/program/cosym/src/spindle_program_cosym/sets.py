"""Which data sets are used, and why others are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_cells.clusters import clusters, tree
from spindle_lib_cells.distances import cell_distances, primitive_cells
from spindle_lib_symmetry_analysis.common_basis import cells_apart, common_basis

__all__ = ["Choice", "choose_sets"]


@dataclass(slots=True)
class Choice:
    """What is used.

    Attributes
    ----------
    kept : list of int
        Places of the experiments that are used.
    reasons : dict of int to str
        Why each other one is not.
    cells : (n_kept, 6) float64, angstrom and degrees
        In the common reduced basis.
    linkage : (n - 1, 4) float64 or None
        Tree of the distances between the cells of all experiments with enough reflections.
    leaves : list of int
        Those experiments.
    tables : list of Table
    """

    kept: list[int]
    reasons: dict[int, str]
    cells: np.ndarray
    linkage: np.ndarray | None
    leaves: list[int]
    tables: list[Table] = field(default_factory=list)


def choose_sets(experiments: Experiments, table: ReflectionTable, params: Any, context: Any) -> Choice:
    """Leave out sets with few reflections, of other crystal forms, or with a deviating cell; see `Choice`.

    Raises
    ------
    UserError
        If an experiment has no crystal, or nothing is left.
    """
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise UserError(f"cosym: experiment {i} has no crystal; run spindle index and spindle integrate first")
    reasons: dict[int, str] = {}
    counts = np.bincount(table["id"][table["id"] >= 0], minlength=len(experiments))
    least = params.min_reflections or 0
    for i in np.flatnonzero(counts < least).tolist():
        reasons[i] = f"{counts[i]} reflections, fewer than min_reflections={least}"
    kept = [i for i in range(len(experiments)) if i not in reasons]
    if not kept:
        raise UserError(f"cosym: none of the {len(experiments)} data sets has min_reflections={least} reflections")
    linkage, leaves, tables = None, kept, []
    if len(kept) > 1:
        distances = cell_distances(primitive_cells([experiments[i].known_crystal for i in kept]))
        linkage = tree(distances)
        groups = [[kept[k] for k in members] for members in clusters(distances, params.unit_cell_clustering.threshold)]
        tables.append(_cell_table(groups, experiments))
        context.table(tables[0])
        for members in groups[1:]:
            for i in members:
                reasons[i] = (
                    f"its cell is not of the largest group of cells within unit_cell_clustering.threshold="
                    f"{params.unit_cell_clustering.threshold:g}"
                )
        kept = sorted(groups[0])
    # what is left out changes the median, and with it what else is apart
    while True:
        common = common_basis(Experiments([experiments[i] for i in kept]), None, None)
        apart = cells_apart(common.cells, params.relative_length_tolerance, params.absolute_angle_tolerance)
        for k in np.flatnonzero(apart):
            cell = " ".join(f"{v:.2f}" for v in common.cells[k])
            reasons[kept[k]] = f"its cell, {cell}, differs from the median by more than the tolerances"
        if apart.all():
            raise UserError(
                f"cosym: the cells of all {len(kept)} data sets differ from their median by more than relative_length_tolerance="
                f"{params.relative_length_tolerance} or absolute_angle_tolerance={params.absolute_angle_tolerance}; give sets of one crystal "
                "form, or a smaller unit_cell_clustering.threshold"
            )
        if not apart.any():
            break
        kept = [i for k, i in enumerate(kept) if not apart[k]]
    for i, reason in sorted(reasons.items()):
        context.log.warning("Data set %d is left out: %s", i, reason)
    if reasons:
        rows = [[i, reason] for i, reason in sorted(reasons.items())]
        tables.append(Table("Left out", ["Data set", "Reason"], rows, "left_out"))
    return Choice(kept, reasons, common.cells, linkage, leaves, tables)


def _cell_table(groups: list[list[int]], experiments: Experiments) -> Table:
    rows = []
    for k, members in enumerate(groups[:50]):
        cells = np.array([experiments[i].known_crystal.cell for i in members])
        names = " ".join(map(str, members[:12])) + (" ..." if len(members) > 12 else "")
        rows.append([k + 1, len(members), " ".join(f"{v:.2f}" for v in np.median(cells, axis=0)), names])
    headers = ["Group", "Data sets", "Median cell (A, deg)", "Members"]
    return Table("Groups of similar unit cells", headers, rows, "cell_groups")
