"""Intensities of all experiments but some: what all say together less their own is what merging the others anew gives."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_symmetry_analysis.alignment import Observed, _Pool, merge_keys, orbit_keys


@pytest.mark.parametrize("left_out", [(), (0,), (2, 5), (9,), tuple(range(6))])
def test_what_is_left_is_what_the_others_merge_to(left_out):
    rng = np.random.default_rng(3)
    group = [np.eye(3, dtype=np.int64), np.diag([-1, -1, 1])]
    pool, parts = _Pool(group), {}
    for i in range(6):
        data = Observed(rng.integers(-3, 4, (40, 3)), rng.normal(5, 2, 40), rng.uniform(0.1, 1e4, 40))
        pool.add(i, data, np.eye(3, dtype=np.int64))
        parts[i] = merge_keys(orbit_keys(data.hkl, group), data.intensity, data.weight)
    pool.without(left_out)
    turn = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
    pool.add(5, data, turn)  # what was known of all together is made anew
    parts[5] = merge_keys(orbit_keys(data.hkl @ turn, group), data.intensity, data.weight)
    found = pool.without(left_out)
    rest = [part for i, part in parts.items() if i not in left_out]
    if not rest:
        assert len(found[0]) == 0
        return
    expected = merge_keys(*(np.concatenate(column) for column in zip(*rest, strict=True)))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-7)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-7)
