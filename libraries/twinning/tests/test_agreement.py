"""Whether means of a subgroup agree, where hardly any reflection was measured twice."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_twinning.agreement import Measured, excess

IDENTITY, AXIS = np.eye(3, dtype=np.int64), np.diag([-1, 1, -1]).astype(np.int64)


@pytest.mark.parametrize(("twice", "n"), [(300, 500), (100, 500), (29, 0)])
def test_reflections_measured_once_say_nothing_of_errors(twice, n):
    """Mates agree like equivalents, of which each share of reflections has one more: the ratio is 1."""
    rng = np.random.default_rng(twice)
    hkl = np.array([[h, k, 7] for h in range(1, 26) for k in range(1, 21)])
    everything = np.concatenate([hkl, hkl @ AXIS, hkl[:twice]])
    true = rng.exponential(100.0, 500)[np.r_[:500, :500, :twice]] + 50.0
    sigma = np.full(len(true), 5.0)
    data = Measured(everything, true + rng.normal(0, sigma), sigma, np.zeros(len(true), np.int64))
    found = excess(data, [IDENTITY], [IDENTITY, AXIS])
    assert found.n == n
    if n:
        assert found.ratio == pytest.approx(1.0, abs=0.35) and found.relative < 0.05
