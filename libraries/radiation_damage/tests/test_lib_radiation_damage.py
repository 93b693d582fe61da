"""Lines along the dose and pairs of equivalents, on simulated intensities whose changes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle_lib_radiation_damage
from spindle_lib_radiation_damage import (
    DosedIntensities,
    damage_lines,
    fit_rate,
    free_test,
    pair_sums,
    spread_of_slopes,
)


def test_everything_public_is_described():
    for name in spindle_lib_radiation_damage.__all__:
        assert getattr(spindle_lib_radiation_damage, name).__doc__, name


def simulated(rate, multiplicity=6, m=1500, seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(m), rng.poisson(multiplicity, m))
    x = rng.uniform(0, 1, len(group))
    d = rng.uniform(1.5, 6, m)
    usual = 1000 * np.exp(-10 / (2 * d * d))
    true = usual * rng.exponential(size=m)
    slope = rate * np.sqrt(usual * (true + 0.1 * usual)) * rng.normal(size=m)
    variance = true[group] + 25 + (0.02 * true[group]) ** 2
    y = true[group] + slope[group] * x + np.sqrt(variance) * rng.normal(size=len(group))
    return DosedIntensities(group, y, variance, x, np.ones(len(y), bool), spread_of_slopes(true, d)), true


@pytest.mark.parametrize(("rate", "multiplicity"), [(0.1, 6), (0.1, 3), (0.3, 6)])
def test_a_rate_is_found_and_intensities_at_dose_zero_have_their_errors(rate, multiplicity):
    obs, true = simulated(rate, multiplicity)
    found = fit_rate(obs)
    assert found == pytest.approx(rate, rel=0.12)
    lines, level = (damage_lines(obs, r) for r in (found, 0.0))
    weight = np.bincount(obs.group, 1 / obs.variance, len(true))
    seen = weight > 0
    z = (lines.mean - true)[seen] / np.sqrt(lines.inflation / np.where(weight > 0, weight, 1))[seen]
    assert np.sqrt((z**2).mean()) == pytest.approx(1.0, abs=0.05)
    assert np.nanstd(lines.mean - true) < 0.95 * np.nanstd(level.mean - true)
    several = lines.freedom > 1e-6
    left = lines.residual[several] ** 2 / (obs.variance * lines.freedom)[several]
    assert left.mean() == pytest.approx(1.0, abs=0.05)


def test_free_reflections_prove_damage_and_do_not_prove_none():
    for rate, expected in ((0.1, True), (0.0, False)):
        obs, true = simulated(rate, seed=3)
        free = np.arange(len(true)) % 2 == 0
        test = free_test(obs, free, fit_rate(replace(obs, use=~free[obs.group])))
        assert test.proven is expected
        assert test.n_reflections <= free.sum()


def test_an_observation_is_predicted_as_by_a_fit_of_the_others():
    """The closed form of leaving one out, against leaving each out."""
    obs, _ = simulated(0.2, 4, 5, seed=5)
    whole = damage_lines(obs, 0.2)
    for i in np.flatnonzero(np.bincount(obs.group)[obs.group] > 1):
        others = obs.use.copy()
        others[i] = False
        without = damage_lines(replace(obs, use=others), 0.2)
        assert without.residual[i] == pytest.approx(whole.residual[i] / whole.freedom[i], rel=1e-9)
        assert without.freedom[i] == pytest.approx(1 / whole.freedom[i], rel=1e-9)


def test_pairs_are_counted_once_at_the_difference_of_their_doses():
    offsets, step = np.array([0, 3, 4]), np.array([0, 2, 5, 1])
    value = np.array([10.0, 12.0, 17.0, 3.0])
    sums = pair_sums(offsets, np.zeros(2, int), step, value, value, 1, 6)
    assert sums.apart_count.tolist() == [0, 0, 1, 1, 0, 1]
    assert sums.apart.tolist() == [0, 0, 2, 5, 0, 7] and sums.apart_total.tolist() == [0, 0, 11, 14.5, 0, 13.5]
    assert sums.count.tolist() == [[0, 0, 2, 0, 0, 4]]
