"""Widths of lattice points across the sphere, from made-up intensities."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_rocking import FEWEST, rescaled_spreads


def made_up(n, size, angle, seed, level=2e-1):
    """Distances, variances of a size and an angle, spacings, corrections, counts and their variances."""
    rng = np.random.default_rng(seed)
    s = rng.uniform(0.1**3, 0.5**3, n) ** (1 / 3)
    parts = np.column_stack([np.full(n, size**2), (angle * s) ** 2])
    whole = parts.sum(axis=1)
    distance = rng.uniform(-2.5, 2.5, n) * np.sqrt(whole)
    correction = rng.uniform(0.6, 1.0, n)
    mean = level * rng.exponential(1, n) * np.exp(-10 * s**2 - 0.5 * distance**2 / whole) / np.sqrt(whole) / correction
    return distance, parts, 1 / s, correction, rng.poisson(mean) + 4.0 * rng.standard_normal(n), mean + 16.0


@pytest.mark.parametrize("wrong", [(0.5, 0.5), (2.0, 1.5), (1.0, 0.6)])
def test_both_parts_are_found_from_wrong_ones(wrong):
    found = []
    for seed in range(8):
        distance, parts, *rest = made_up(800, 4e-4, 2.5e-3, seed)
        factors = rescaled_spreads(distance, parts * np.square(wrong), *rest)
        found.append(np.sqrt(factors) * wrong)
    size, angle = np.mean(found, axis=0)
    assert angle == pytest.approx(1, abs=0.1)
    assert size == pytest.approx(1, abs=0.35)


def test_few_reflections_tell_nothing():
    assert rescaled_spreads(*made_up(FEWEST - 1, 4e-4, 2.5e-3, 1)) is None
