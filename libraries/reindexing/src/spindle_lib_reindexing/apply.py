"""Models and tables in another basis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.symmetry import ChangeOfBasis, SpaceGroupLike, change_crystal_basis, constrain_crystal
from spindle.table import INTEGRATED, Flag, ReflectionTable

#: Flags that say of a spot which reflection it is, or what was done with it as that reflection.
OF_AN_INDEX = (
    Flag.INDEXED | Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
    | Flag.REFERENCE_SPOT
)  # fmt: skip


def change_experiments(
    experiments: Experiments, operators: Sequence[ChangeOfBasis], group: SpaceGroupLike | None = None
) -> Experiments:
    """Experiments whose crystals are described in another basis.

    Parameters
    ----------
    experiments : Experiments
        Those without a crystal stay as they are.
    operators : sequence of ChangeOfBasis
        One for each experiment.
    group
        Space group in the new basis, to which cells (scan points, covariances) are constrained; by default the old
        one, transformed, and no constraint.

    Returns
    -------
    Experiments
        Crystals that were shared are shared still, as long as their experiments have the same operator.
    """
    made: dict[tuple[int, bytes], Any] = {}
    items = []
    for experiment, operator in zip(experiments, operators, strict=True):
        if experiment.crystal is None:
            items.append(experiment)
            continue
        key = id(experiment.crystal), operator.matrix.tobytes()
        if key not in made:
            moved = change_crystal_basis(experiment.crystal, operator, group)
            made[key] = moved if group is None else constrain_crystal(moved, group)
        items.append(replace(experiment, crystal=made[key]))
    return Experiments(items)


@dataclass(slots=True)
class ChangedIndices:
    """A table with indices in another basis.

    Attributes
    ----------
    table : ReflectionTable
        A view of the rows that have a whole index or none.
    n_indexed : int
        Rows that had an index.
    n_unindexed : int
        Spots without a whole index in the new basis: they are in the table, without an index.
    n_left_out : int
        Predicted reflections without a whole index: there is no such reflection in the new basis.
    """

    table: ReflectionTable
    n_indexed: int
    n_unindexed: int
    n_left_out: int


def change_indices(
    table: ReflectionTable, operators: Sequence[ChangeOfBasis], offset: Sequence[int] | None = None
) -> ChangedIndices:
    """The table with its indices in another basis.

    Parameters
    ----------
    table : ReflectionTable
    operators : sequence of ChangeOfBasis
        One for each experiment; or a single one, for all rows.
    offset : (3,) ints, optional
        Added to the indices before the change of basis.

    Raises
    ------
    UserError
        If rows belong to an experiment without an operator.
    """
    old = table["miller_index"]
    hkl = np.array(old)
    whole = np.ones(len(table), dtype=np.bool_)
    indexed = (hkl != 0).any(axis=1)
    if offset is not None:
        hkl[indexed] += np.asarray(offset, dtype=hkl.dtype)
    if len(operators) == 1:
        hkl, whole = operators[0].apply_to_indices(hkl)
    else:
        for number, rows in table.rows_by_experiment().items():
            if number >= len(operators):
                raise UserError(
                    f"reflections belong to experiment {number}, but there are only {len(operators)} experiments: the "
                    "files do not belong together"
                )
            if number >= 0:
                hkl[rows], whole[rows] = operators[number].apply_to_indices(hkl[rows])
    lost = indexed & (~whole | (hkl == 0).all(axis=1))
    hkl[lost] = 0
    changed = table.view()
    changed["miller_index"] = hkl
    changed = changed.without("miller_index_asu")
    gone = np.zeros(len(table), dtype=np.bool_)
    if lost.any():
        # a spot is there whatever its index; what was only predicted is not
        if "flags" in table:
            gone = lost & (~changed.has_flags(Flag.STRONG) | changed.has_flags(INTEGRATED, all=False))
        _take_index(changed, lost & ~gone)
        changed = changed.select(~gone) if gone.any() else changed
    return ChangedIndices(
        changed, int(np.count_nonzero(indexed)), int(np.count_nonzero(lost & ~gone)), int(np.count_nonzero(gone))
    )


def _take_index(table: ReflectionTable, rows: np.ndarray) -> None:
    """Make spots of a view unindexed."""
    if "id" in table:
        table["id"] = np.where(rows, -1, table["id"]).astype(np.int32)
    if "flags" in table:
        table["flags"] = np.where(rows, table["flags"] & ~np.uint64(OF_AN_INDEX), table["flags"])
