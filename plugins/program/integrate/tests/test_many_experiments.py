"""What integrate keeps and looks up for thousands of experiments."""

from __future__ import annotations

import pickle

import numpy as np
from spindle_program_integrate import Integrate
from spindle_program_integrate.expected import ExpectedIntensity
from spindle_program_integrate.filters import significance
from spindle_program_integrate.packed_masks import PackedMasks

from spindle.table import ReflectionTable


def test_masks_come_back_as_they_were_and_take_little_room_meanwhile():
    rng = np.random.default_rng(1)
    masks = [rng.random((5, 7)) > 0.5, np.ones((2527, 2463), bool), np.zeros((0, 3), bool)]
    masks[1][1000:1017] = False
    packed = PackedMasks(masks)
    for before, after in zip(masks, packed.unpacked(), strict=True):
        assert after.dtype == np.bool_ and after.flags.c_contiguous
        np.testing.assert_array_equal(before, after)
    assert len(pickle.dumps(packed)) < 20_000


def test_filters_and_expectations_treat_each_experiment_by_itself():
    """Rows of several experiments in any order give what each gives alone."""
    rng = np.random.default_rng(2)
    ids = rng.permutation(np.repeat([0, 2, 5], [300, 400, 30])).astype(np.int32)
    d, value = rng.uniform(1.5, 10.0, len(ids)), rng.gamma(1.0, 3.0, len(ids)) * (1 + ids)
    table = ReflectionTable({"id": ids, "d": d, "intensity.sum.value": value, "intensity.sum.variance": value + 1.0})
    params = Integrate.Params().significance_filter
    kept, tables = significance(table, params)
    curve = ExpectedIntensity(ids, d**-2, value)(ids, d**-2)
    assert [t.key for t in tables] == ["significance_0", "significance_2", "significance_5"]
    for i in (0, 2, 5):
        rows = np.flatnonzero(ids == i)
        np.testing.assert_array_equal(kept[rows], significance(table.select(rows), params)[0])
        alone = ExpectedIntensity(ids[rows], d[rows] ** -2, value[rows])(ids[rows], d[rows] ** -2)
        np.testing.assert_array_equal(curve[rows], alone)
    assert ExpectedIntensity(ids, d**-2, value)(np.array([3]), np.array([0.1])).tolist() == [-1.0]
