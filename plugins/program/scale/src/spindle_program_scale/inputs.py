"""Which experiments and reflections are scaled together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.errors import ModelError, ParameterError, UserError
from spindle.models import Experiments
from spindle.table import BAD_FOR_SCALING, Flag, ReflectionTable, rows_by_value
from spindle_lib_merging.intensities import combine_parts

from .params import ScaleParams

NEEDED = ("id", "miller_index", "flags", "s1", "xyzcal.px", "panel")


def join_tables(experiments: Experiments, tables: Sequence[ReflectionTable]) -> ReflectionTable:
    """All reflections in one table whose column ``id`` numbers the experiments.

    Tables tell their experiments by identifiers; without them, table k belongs to experiment k, or a single table's own
    numbers are taken as they are.
    """
    position = {identifier: k for k, identifier in enumerate(experiments.identifiers.values())}
    joined = []
    for k, table in enumerate(tables):
        for name in NEEDED:
            if name not in table:
                raise ModelError(
                    f"scale: the reflections have no column {name}; give files of spindle integrate or symmetry"
                )
        view = table.view()
        ids, given = np.full(len(table), -1, dtype=np.int32), table.peek("id")
        if table.identifiers:
            rows_of = rows_by_value(given)
            for old, identifier in table.identifiers.items():
                if identifier in position and old in rows_of:
                    ids[rows_of[old]] = position[identifier]
        elif len(tables) == 1:
            ids = np.where(given < len(experiments), given, -1).astype(np.int32)
        elif len(tables) == len(experiments):
            ids[given >= 0] = k
        view["id"] = ids
        view.identifiers = {}
        joined.append(view)
    table = ReflectionTable.concatenate(joined)
    table.identifiers = dict(experiments.identifiers)
    return table.select(table["id"] >= 0) if np.any(table["id"] < 0) else table


def select_datasets(
    experiments: Experiments, table: ReflectionTable, params: ScaleParams
) -> tuple[Experiments, ReflectionTable]:
    """Apply ``dataset_selection``; what is not selected is dropped, and what is has to have reflections."""
    use, leave = params.dataset_selection.use_datasets, params.dataset_selection.exclude_datasets
    for name, given in (("use_datasets", use), ("exclude_datasets", leave)):
        wrong = [k for k in given or () if not 0 <= k < len(experiments)]
        if wrong:
            raise ParameterError(
                f"dataset_selection.{name}: there is no data set {wrong[0]}; there are 0 to {len(experiments) - 1}"
            )
    kept = [k for k in range(len(experiments)) if (use is None or k in use) and k not in (leave or ())]
    if not kept:
        raise ParameterError("dataset_selection: no data set is left")
    present = set(np.unique(table["id"]).tolist())
    missing = [k for k in kept if k not in present]
    if missing:
        numbers = ",".join(map(str, sorted({*(leave or ()), *missing})))
        remedy = f", or leave out what has none with dataset_selection.exclude_datasets={numbers}"
        raise UserError(
            f"scale: there are no reflections of data set {', '.join(map(str, missing))} of 0 to {len(experiments) - 1}; give the "
            f"reflection files that belong to the experiment files{remedy if len(kept) > len(missing) else ''}"
        )
    if len(kept) == len(experiments):
        return experiments, table
    new = np.full(len(experiments), -1, dtype=np.int32)
    new[kept] = np.arange(len(kept))
    experiments = Experiments(experiments[k] for k in kept)
    ids = new[table["id"]]
    table = table.select(ids >= 0)
    table["id"] = ids[ids >= 0]
    table.identifiers = dict(experiments.identifiers)
    return experiments, table


def check_experiments(experiments: Experiments) -> None:
    """Scaling needs crystals of one space group."""
    groups = []
    for k, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise ModelError(f"scale: experiment {k} has no crystal; run spindle index")
        groups.append(experiment.crystal.space_group.xhm())
    if len(set(groups)) > 1:
        other = next(k for k, g in enumerate(groups) if g != groups[0])
        raise ModelError(
            f"scale: experiment 0 is in {groups[0]}, experiment {other} in {groups[other]}; run spindle symmetry on "
            "all of them"
        )


def clean_table(table: ReflectionTable, delete_shoeboxes: bool) -> ReflectionTable:
    """The table as scaling starts from it: parts combined, flags and columns of an earlier scaling removed."""
    drop = [
        "intensity.scale.value",
        "intensity.scale.variance",
        "inverse_scale_factor",
        "inverse_scale_factor_variance",
    ]
    if delete_shoeboxes:
        drop.append("shoebox")
    table = table.without(*drop)
    if "partial_id" in table:
        table = combine_parts(table, ["intensity.prf", "intensity.sum"])
    table["flags"] = table.peek("flags") & ~np.uint64(int(BAD_FOR_SCALING | Flag.SCALED))
    return table
