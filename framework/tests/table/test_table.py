"""Reflection tables and ragged shoeboxes."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ShapeError
from spindle.table import Flag, ReflectionTable, Shoeboxes


def boxes(n, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 50, (n, 3))
    size = rng.integers(1, 6, (n, 3))
    bbox = np.stack([low, low + size], axis=2).reshape(n, 6)
    result = Shoeboxes.empty(np.zeros(n, int), bbox)
    result.data[:] = rng.normal(size=len(result.data))
    result.mask[:] = rng.integers(0, 64, len(result.mask))
    return result


def test_columns_take_the_standard_types():
    table = ReflectionTable({"id": [0, 1], "miller_index": [[1, 2, 3], [4, 5, 6]]})
    assert table["id"].dtype == np.int32 and table["miller_index"].dtype == np.int32


def test_a_column_of_another_length_is_refused():
    table = ReflectionTable({"id": [0, 1]})
    with pytest.raises(ShapeError, match="3 rows"):
        table["d"] = np.ones(3)


def test_missing_column_names_those_there_are():
    with pytest.raises(KeyError, match="it has id"):
        ReflectionTable({"id": [0]})["d"]


def test_flags_are_set_and_asked_for_all_or_any():
    table = ReflectionTable.with_rows(3, ["flags"])
    table.set_flags([0, 1], Flag.INTEGRATED_SUM)
    table.set_flags([1], Flag.INTEGRATED_PRF)
    both = Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF
    assert table.has_flags(both).tolist() == [False, True, False]
    assert table.has_flags(both, all=False).tolist() == [True, True, False]
    table.unset_flags([1], Flag.INTEGRATED_SUM)
    assert table.has_flags(both).tolist() == [False, False, False]


def test_setting_flags_leaves_views_alone():
    table = ReflectionTable.with_rows(2, ["flags"])
    view = table.view()
    view.set_flags([0], Flag.STRONG)
    assert not table["flags"].any()


def test_select_and_concatenate_shoeboxes_keep_their_pixels():
    original = boxes(20)
    parts = [original.select(np.arange(0, 7)), original.select(np.arange(7, 20))]
    joined = Shoeboxes.concatenate(parts)
    np.testing.assert_array_equal(joined.data, original.data)
    np.testing.assert_array_equal(joined.offsets, original.offsets)
    picked = original.select(np.array([13, 2]))
    np.testing.assert_array_equal(picked.pixels(0)[0], original.pixels(13)[0])
    np.testing.assert_array_equal(picked.pixels(1)[1], original.pixels(2)[1])


def test_concatenate_fills_standard_columns_and_refuses_conflicting_identifiers():
    a = ReflectionTable({"id": [0], "d": [2.0]}, {0: "x"})
    b = ReflectionTable({"id": [1]}, {1: "y"})
    joined = ReflectionTable.concatenate([a, b])
    assert joined["d"].tolist() == [2.0, 0.0] and joined.identifiers == {0: "x", 1: "y"}
    with pytest.raises(ValueError, match="two identifiers"):
        ReflectionTable.concatenate([a, ReflectionTable({"id": [0]}, {0: "z"})])


def test_rows_by_experiment_are_those_of_a_comparison_with_each_id():
    ids = np.random.default_rng(5).integers(-1, 1200, 3000).astype(np.int32)
    ids[ids == 7] = 8
    rows = ReflectionTable({"id": ids}).rows_by_experiment()
    assert 7 not in rows and -1 not in rows
    assert list(rows) == sorted(set(ids[ids >= 0].tolist()))
    for index, mine in rows.items():
        np.testing.assert_array_equal(mine, np.flatnonzero(ids == index))
    assert ReflectionTable({"id": np.zeros(0, np.int32)}).rows_by_experiment() == {}
    assert list(ReflectionTable({"id": np.full(4, -1, np.int32)}).rows_by_experiment()) == []
