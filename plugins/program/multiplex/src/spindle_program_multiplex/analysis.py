"""What is asked of the data sets: their cells, which are alike, what each adds, and whether dose has changed them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.report import Table
from spindle_lib_many_crystals import Reduced, Steps, settings_of

from .inputs import Data

__all__ = ["Cells", "alike", "cell_groups", "contributions", "damage"]


@dataclass(slots=True)
class Cells:
    """Groups of similar cells.

    Attributes
    ----------
    groups : list of list of int
        Places of the data sets that were given, the largest group first.
    labels : list of int
        Those places in the order of the leaves of the tree.
    linkage : (n - 1, 4) float64
    cells : (n, 6) float64, angstrom and degrees
    tables : list of Table
    """

    groups: list[list[int]]
    labels: list[int]
    linkage: np.ndarray
    cells: np.ndarray
    tables: list[Table]


def cell_groups(steps: Steps, data: Data, params: Any) -> tuple[Data, Cells | None]:
    """The data sets of the largest group of cells, and all groups; None for a single set."""
    if len(data) < 2:
        return data, None
    settings = {
        "threshold": params.unit_cell_clustering.threshold, "plot.log": params.unit_cell_clustering.log, "output.json": "cells.json",
        "plot.name": None,
    }  # fmt: skip
    result = steps.run("cluster_unit_cell", data.experiments, None, settings)
    numbers = steps.numbers(result, "cells.json")
    groups = list(numbers["clusters"].values())
    places = [[data.places[i] for i in members] for members in groups]
    cells = Cells(
        places, list(data.places), np.array(numbers["linkage"]), np.array(numbers["unit_cells"]), result.tables
    )
    reasons = {}
    for k, members in enumerate(groups[1:], start=2):
        for i in members:
            reasons[i] = f"its cell is of group {k}, not of the largest one"
    if reasons:
        steps.context.log.warning(
            "The cells fall into %d groups of %s data sets; the largest is used. Another one is used when its sets alone are given: "
            "identifiers=", len(groups), ", ".join(str(len(g)) for g in groups[:8]) + (" ..." if len(groups) > 8 else ""),
        )  # fmt: skip
    return data.only(reasons), cells


def alike(steps: Steps, whole: Reduced, params: Any) -> dict[str, Any] | None:
    """What `correlation_matrix` says of scaled data; None where they cannot be compared."""
    if len(whole.experiments) < 2:
        return None
    limit = params.multi_crystal_analysis.d_min or whole.d_min
    settings = settings_of(params, "significant_clusters.", "significant_clusters.") | {
        "seed": params.seed, "d_min": limit, "output.json": "alike.json",
    }  # fmt: skip
    if limit is None:
        del settings["d_min"]
    try:
        result = steps.run("correlation_matrix", whole.experiments, whole.within(), settings)
    except UserError as error:
        steps.context.log.warning("The data sets could not be compared: %s", error)
        return None
    return steps.numbers(result, "alike.json")


def contributions(steps: Steps, whole: Reduced) -> dict[str, float]:
    """How much CC1/2 falls without each set, as fractions by identifier; empty where it cannot be told."""
    if len(whole.experiments) < 2:
        return {}
    try:
        result = steps.run("compute_delta_cchalf", whole.experiments, whole.within(), {"stdcutoff": None})
    except UserError as error:
        steps.context.log.warning("What each set adds to CC1/2 is not known: %s", error)
        return {}
    path = steps.written(result.files["delta_cchalf.dat"], "delta_cchalf.dat")
    found = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {whole.experiments[int(number)].identifier: float(value) for number, value in found}


def damage(steps: Steps, whole: Reduced, params: Any) -> dict[str, Any] | None:
    """Curves against the image number, as if every crystal had begun fresh; None where they cannot be had."""
    settings = {"output.json": "damage.json", "d_min": params.multi_crystal_analysis.d_min or whole.d_min}
    try:
        result = steps.run("damage_analysis", whole.experiments, whole.table, settings)
    except UserError as error:
        steps.context.log.warning("Radiation damage is not looked for: %s", error)
        return None
    return steps.numbers(result, "damage.json")
