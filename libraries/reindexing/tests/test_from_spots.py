"""Spots indexed in one basis, a crystal in another: the known operator is found."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_reindexing import change_of_setting


@pytest.mark.parametrize(
    "operator",
    [
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
        [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],  # P to a C-centred cell: all indices stay whole
        [[1, -1, 0], [0, 1, -1], [1, 1, 1]],  # primitive to hexagonal axes
    ],
)
def test_the_operator_is_found_among_errors_and_strangers(operator):
    rng = np.random.default_rng(3)
    hkl = rng.integers(-12, 13, (400, 3))
    observed = hkl @ np.array(operator).T + rng.normal(0, 0.03, (400, 3))
    observed[:20] += rng.uniform(-3, 3, (20, 3))  # spots of something else
    np.testing.assert_array_equal(change_of_setting(hkl, observed), operator)


@pytest.mark.parametrize("error", [0.02, 0.2])
def test_indices_in_the_setting_of_the_crystal_stay(error):
    rng = np.random.default_rng(4)
    hkl = rng.integers(-12, 13, (400, 3))
    assert change_of_setting(hkl, hkl + rng.normal(0, error, hkl.shape)) is None


def test_a_cell_that_is_wrong_by_some_percent_is_no_change_of_setting():
    rng = np.random.default_rng(5)
    hkl = rng.integers(-12, 13, (400, 3))
    assert change_of_setting(hkl, hkl * 1.06) is None
    assert change_of_setting(hkl[:, :] * [1, 1, 0], hkl * [1, 1, 0]) is None  # a plane tells nothing
