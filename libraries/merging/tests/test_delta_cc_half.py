"""What parts of the data add to CC1/2."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_image_ranges import ImageRange
from spindle_lib_merging.delta_cc_half import delta_cc_half, from_the_ends, shells_of_equal_steps


def test_delta_cc_half_is_the_difference_of_two_calculations() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), 6)
    value = rng.normal(100, 30, 300)[group] + rng.normal(0, 15, len(group))
    unit, shell = rng.integers(0, 5, len(group)), (np.arange(300) % 10)[group]
    total, delta = delta_cc_half(value, group, shell, unit, 5)
    for k in range(5):
        keep = unit != k
        without, _ = delta_cc_half(value[keep], group[keep], shell[keep], unit[keep], 5)
        assert delta[k] == pytest.approx(total - without, abs=1e-10)


def test_shells_are_equal_steps_of_the_inverse_square():
    d = np.array([np.inf, 2.0, np.sqrt(2.0), 1.0])  # 1/d^2 of 0, 1/4, 1/2, 1
    assert shells_of_equal_steps(d, 4).tolist() == [0, 1, 2, 3]
    assert shells_of_equal_steps(d[1:], 4, d_min=np.sqrt(2.0), d_max=2.0).tolist() == [0, 3, 4]


def test_groups_go_from_the_ends_inward():
    ranges = [ImageRange(0, 1 + 5 * i, 5 + 5 * i) for i in range(5)] + [ImageRange(1, 1, 5), ImageRange(1, 6, 10)]
    bad = np.array([True, False, True, True, True, False, False])
    assert from_the_ends(bad, ranges, set()).tolist() == [True, False, True, True, True, False, False]
    bad[4] = False
    assert from_the_ends(bad, ranges, set()).tolist() == [True, False, False, False, False, False, False]
    assert from_the_ends(bad, ranges, {ranges[4]}).tolist() == [True, False, True, True, False, False, False]
