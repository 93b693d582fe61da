"""Combinations of parameters that spots hardly tell move by what is more than chance."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_refiner_centroid.engines import solve_damped


@pytest.mark.parametrize(
    ("errors", "shrinks", "part"),
    [(1.9, True, 0.0), (2.5, True, 0.36), (20.0, True, 0.99), (1.9, False, 0.0), (2.5, False, 1.0)],
)
def test_a_weak_direction_moves_by_what_two_errors_leave(errors: float, shrinks: bool, part: float) -> None:
    """1 - (2 / t)^2 of the way of t standard errors; the strong direction moves all the way."""
    weak, strong = np.array([1.0, -1.0]) / np.sqrt(2), np.array([1.0, 1.0]) / np.sqrt(2)
    curvature = 1e-6
    N = 2 * np.outer(strong, strong) * (1 - curvature / 2) + curvature * np.outer(weak, weak)
    minimum = 0.3 * strong + errors / np.sqrt(curvature) * weak
    step = solve_damped(N, -N @ minimum, 0.0, ["a", "b"], False, 2.0, shrinks)
    assert step @ strong == pytest.approx(0.3, rel=1e-6)
    assert step @ weak == pytest.approx(part * (minimum @ weak), rel=1e-4, abs=1e-6)
