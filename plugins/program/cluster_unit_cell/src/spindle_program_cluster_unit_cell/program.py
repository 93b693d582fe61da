"""The program `cluster_unit_cell`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.params import Bool, Choice, Float, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle.symmetry import lattice_subgroups
from spindle_lib_cells.clusters import clusters, tree
from spindle_lib_cells.distances import cell_distances, primitive_cells
from spindle_lib_pages import Page, text_writer
from spindle_lib_pages.figures import dendrogram_lines, histogram, points
from spindle_lib_pictures.figures import MOST_LEAVES, save_figure, suffix_of, tree_figure
from spindle_lib_selection.parts import Parts, join
from spindle_lib_symmetry_analysis.common_basis import common_basis

__all__ = ["ClusterUnitCell"]

MAX_ROWS = 100
METRIC_TOLERANCE = 3.0
AXES = ("a (A)", "b (A)", "c (A)", "alpha (deg)", "beta (deg)", "gamma (deg)")


class ClusterUnitCell(Program):
    """Group crystals by their unit cells.

    The distance of two lattices is that of their metric tensors (A^2), whichever cells describe them: settings and centrings do
    not matter. Groups that are nearer to each other than the threshold are joined. Each group is listed with its space groups, its
    median reduced cell and the highest symmetry that this cell has.

        spindle cluster_unit_cell */indexed.expt
        spindle cluster_unit_cell combined.expt combined.refl threshold=500 output.clusters=True
    """

    takes_files = False

    class Params(ParamsBase):
        threshold = Float(
            5000.0, min=0, none=True, units="A^2", help="Groups farther apart stay apart; None joins all."
        )
        linkage = Choice(
            ["single", "ward"],
            default="single",
            help="How far two groups are apart: by their nearest members, or by Ward.",
        )

        class plot(ParamsBase):
            """The tree of the cells."""

            show = Bool(
                False, unavailable="no window is opened: look at the picture or the page", help="Show the picture."
            )
            name = PathParam("cluster_unit_cell.png", none=True, help="Picture (.png, .pdf or .svg).")
            log = Bool(False, help="Logarithmic axis of distances.")

        class output(ParamsBase):
            """Output files."""

            clusters = Bool(False, help="Write the experiments (and reflections) of each group.")
            json = PathParam(None, none=True, help="Groups and tree.")
            html = PathParam("spindle.cluster_unit_cell.html", none=True, help="Page with tables and plots.")
            log = PathParam("spindle.cluster_unit_cell.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Group; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        if not experiments:
            raise UserError(
                "cluster_unit_cell: give experiments with crystals: spindle cluster_unit_cell */indexed.expt"
            )
        for i, experiment in enumerate(experiments):
            if experiment.crystal is None:
                raise UserError(f"cluster_unit_cell: experiment {i} has no crystal; leave it out, or index it first")
        kind = "" if params.plot.name is None else suffix_of(params.plot.name, "plot.name")
        n = len(experiments)
        if n == 1:
            context.log.info("There is one crystal, so there is nothing to group")
            return ProgramResult(summary={"n_crystals": 1, "n_clusters": 1}, next_step="give more crystals")
        distances = cell_distances(primitive_cells([e.known_crystal for e in experiments]))
        groups = clusters(distances, params.threshold, params.linkage)
        linkage = tree(distances, params.linkage)
        names = _names(groups)
        tables = _tables(groups, names, experiments)
        for table in tables:
            context.table(Table(table.title, table.headers, table.rows[:MAX_ROWS], table.key))
        files: dict[str, Callable[[Path], None]] = {}
        labels = [str(i) for i in range(n)]
        if params.plot.name is not None:
            files[str(params.plot.name)] = lambda path: save_figure(
                tree_figure(linkage, labels, params.threshold, params.plot.log), path, kind
            )
        if params.output.json is not None:
            content = {
                "clusters": dict(zip(names, groups, strict=True)),
                "linkage": linkage.tolist(), "unit_cells": [list(e.known_crystal.cell) for e in experiments],
            }  # fmt: skip
            files[str(params.output.json)] = text_writer(json_text(content, 1) + "\n")
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(_page(experiments, groups, linkage, tables, params))
        if params.output.clusters:
            files |= _cluster_files(Parts(experiments, join(inputs.reflections)), groups, names)
        largest = len(groups[0])
        following = f"spindle scale {names[0]}.expt {names[0]}.refl" if params.output.clusters else (
            "all crystals are of one group" if len(groups) == 1 else "output.clusters=True writes each group"
        )  # fmt: skip
        return ProgramResult(
            files=files, next_step=following,
            summary={"n_crystals": n, "n_clusters": len(groups), "largest": largest, "clusters": groups},
        )  # fmt: skip


def _names(groups: Sequence[Sequence[int]]) -> list[str]:
    width = len(str(len(groups)))
    return [f"cluster_{k + 1:0{width}d}" for k in range(len(groups))]


def _tables(groups: Sequence[Sequence[int]], names: Sequence[str], experiments: Experiments) -> list[Table]:
    single, several = [], []
    for name, members in zip(names, groups, strict=True):
        crystals = [experiments[i].known_crystal for i in members]
        symbols = Counter(c.space_group.xhm() for c in crystals)
        if len(members) == 1:
            symbol = crystals[0].space_group.point_group_hm()
            single.append([name, members[0], symbol, *(round(v, 2) for v in crystals[0].cell)])
            continue
        common = common_basis(Experiments([experiments[i] for i in members]), None, None)
        middle, spread = np.median(common.cells, axis=0), common.cells.std(axis=0)
        best = max(lattice_subgroups(middle, "P 1", METRIC_TOLERANCE), key=lambda s: (len(s.rotations), s.group.number))
        several.append(
            [name, len(members), ", ".join(f"{s} ({k})" for s, k in symbols.most_common()),
             " ".join(f"{m:.2f}({s:.2f})" for m, s in zip(middle, spread, strict=True)),
             best.group.xhm(), " ".join(f"{v:.2f}" for v in best.best_cell), round(best.max_angular_difference, 2)]
        )  # fmt: skip
    headers = [
        "Group",
        "Crystals",
        "Space groups",
        "Median reduced cell (sd)",
        "Highest symmetry",
        "Its cell",
        "Delta (deg)",
    ]
    tables = [Table("Groups of similar unit cells", headers, several, "cell_groups")] if several else []
    if single:
        alone = ["Group", "Experiment", "Point group", "a", "b", "c", "alpha", "beta", "gamma"]
        tables.append(Table("Crystals that are like no other", alone, single, "singletons"))
    return tables


def _page(
    experiments: Experiments, groups: Sequence[Sequence[int]], linkage: np.ndarray, tables: Sequence[Table], params: Any
) -> str:
    page = Page("Unit cells", f"{len(experiments)} crystals in {len(groups)} group(s)")
    page.section("Groups")
    page.tables(tables)
    cells = np.array([e.known_crystal.cell for e in experiments])
    if len(experiments) <= MOST_LEAVES:
        labels = [str(i) for i in range(len(experiments))]
        figure = dendrogram_lines("Tree", "distance (A^2)", linkage, labels, params.threshold)
        if params.plot.log:
            figure["layout"]["yaxis"]["type"] = "log"
        page.plot(figure, wide=True)
    page.section("Cells")
    for first, second in ((0, 1), (1, 2), (0, 2)):
        curves = [
            (f"group {k + 1}", cells[members, first], cells[members, second]) for k, members in enumerate(groups[:12])
        ]
        said = [[f"experiment {i}" for i in members] for members in groups[:12]]
        page.plot(points(f"{AXES[first][0]} and {AXES[second][0]}", AXES[first], AXES[second], curves, said))
    page.plots(histogram(name, name, cells[:, k], 30) for k, name in enumerate(AXES))
    return page.html()


def _cluster_files(
    parts: Parts, groups: Sequence[Sequence[int]], names: Sequence[str]
) -> dict[str, Callable[[Path], None]]:
    files: dict[str, Callable[[Path], None]] = {}
    for name, members in zip(names, groups, strict=True):
        experiments, table = parts.take(members)
        files[f"{name}.expt"] = partial(write_experiments, experiments)
        if table is not None:
            files[f"{name}.refl"] = partial(write_reflections, table)
    return files
