"""Combinations of parameters that spots hardly tell move by what is more than chance."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_refiner_centroid.engines import solve_damped


@pytest.mark.parametrize(
    ("errors", "least_gain", "part"), [(1.9, 2.0, 0.0), (2.5, 2.0, 1.0), (2.5, 0.0, 1.0), (200.0, np.inf, 0.0)]
)
def test_a_weak_direction_moves_if_that_gains_enough(errors: float, least_gain: float, part: float) -> None:
    """t standard errors gain t^2 / 2; the strong direction moves all the way."""
    weak, strong = np.array([1.0, -1.0]) / np.sqrt(2), np.array([1.0, 1.0]) / np.sqrt(2)
    curvature = 1e-6
    N = 2 * np.outer(strong, strong) * (1 - curvature / 2) + curvature * np.outer(weak, weak)
    minimum = 0.3 * strong + errors / np.sqrt(curvature) * weak
    step = solve_damped(N, -N @ minimum, 0.0, ["a", "b"], False, least_gain)
    assert step @ strong == pytest.approx(0.3, rel=1e-6)
    assert step @ weak == pytest.approx(part * (minimum @ weak), rel=1e-4, abs=1e-6)
