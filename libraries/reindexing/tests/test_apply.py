"""Experiments and tables in another basis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import ChangeOfBasis
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment
from spindle_lib_reindexing import change_experiments, change_indices

SWAP = ChangeOfBasis.from_string("b,c,a")
HALF = ChangeOfBasis.from_string("a,b,1/2*c")


def table_of(hkl, flags, ids=None):
    n = len(hkl)
    return ReflectionTable({"miller_index": hkl, "flags": flags, "id": np.zeros(n) if ids is None else ids})


def test_shared_crystals_stay_shared_and_others_stay_apart():
    one = rotation_experiment((40, 50, 60, 90, 95, 90), "P 1 2 1")
    other = Crystal.from_cell((40, 50, 60, 90, 95, 90), random_rotation(3), "P 1 2 1")
    given = Experiments([one, one, replace(one, crystal=other), replace(one, crystal=None)])
    changed = change_experiments(given, [ChangeOfBasis.from_string("-a-c,-b,c")] * 4)
    assert changed[0].crystal is changed[1].crystal is not changed[2].crystal
    assert changed[3].crystal is None
    np.testing.assert_allclose(changed[2].crystal.real_space[2], other.real_space[2])
    assert given[0].crystal is one.crystal


def test_spots_without_a_whole_index_are_unindexed_and_predictions_left_out():
    spot, predicted = int(Flag.STRONG | Flag.INDEXED), int(Flag.PREDICTED)
    integrated = int(Flag.STRONG | Flag.INTEGRATED_SUM)
    table = table_of(
        [[1, 2, 4], [1, 2, 3], [1, 2, 3], [0, 0, 0], [2, 2, 1]], [spot, spot, predicted, spot, integrated],
        [0, 0, 0, -1, 0],
    )  # fmt: skip
    changed = change_indices(table, [HALF])
    assert changed.table["miller_index"].tolist() == [[1, 2, 2], [0, 0, 0], [0, 0, 0]]
    assert changed.table["id"].tolist() == [0, -1, -1]
    assert changed.table.has_flags(Flag.INDEXED).tolist() == [True, False, True]
    assert (changed.n_indexed, changed.n_unindexed, changed.n_left_out) == (4, 1, 2)
    assert table["miller_index"].tolist()[1] == [1, 2, 3]


def test_an_offset_is_added_in_the_old_basis_and_not_to_spots_without_index():
    table = table_of([[0, -1, 4], [0, 0, 0]], [int(Flag.STRONG)] * 2)
    changed = change_indices(table, [SWAP], (1, 0, 0))
    assert changed.table["miller_index"].tolist() == [[-1, 4, 1], [0, 0, 0]]


def test_each_experiment_has_its_operator():
    table = table_of([[1, 2, 3], [1, 2, 3], [1, 2, 3]], [int(Flag.STRONG)] * 3, [0, 1, -1])
    changed = change_indices(table, [SWAP, ChangeOfBasis.identity()])
    assert changed.table["miller_index"].tolist() == [[2, 3, 1], [1, 2, 3], [1, 2, 3]]
    table["id"] = [0, 1, 2]
    with pytest.raises(UserError, match="experiment 2"):
        change_indices(table, [SWAP, SWAP])


def test_a_table_without_rows_stays_one():
    table = table_of(np.zeros((0, 3), int), np.zeros(0, int))
    assert len(change_indices(table, [HALF]).table) == 0
