"""The rocking width of a still, from made-up intensities of known width."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_rocking import FEWEST, rocking_width, still_partiality


def made_up(n, sigma, level, seed, reach=2.5, b=20.0):
    """Turns, spacings, corrections, counts and variances of n reflections with Wilson's intensities."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-reach * sigma, reach * sigma, n)
    d = 1 / rng.uniform(0.1**3, 0.5**3, n) ** (1 / 3)
    correction = rng.uniform(0.2, 0.8, n)
    mean = level * rng.exponential(1, n) * np.exp(-0.5 * b / d**2) * np.exp(-0.5 * (turn / sigma) ** 2) / correction
    counts = rng.poisson(mean) + 4.0 * rng.standard_normal(n)
    return turn, d, correction, counts, mean + 16.0


@pytest.mark.parametrize("sigma", [0.0003, 0.0015, 0.01])
@pytest.mark.parametrize("level", [60.0, 5000.0])
def test_the_width_is_found_without_bias(sigma, level):
    found = [rocking_width(*made_up(400, sigma, level, seed)) for seed in range(12)]
    assert np.mean(found) / sigma == pytest.approx(1, abs=0.06)
    assert np.std(found) / sigma < 0.2


def test_predictions_that_stop_short_of_the_width_do_not_narrow_it():
    found = [rocking_width(*made_up(600, 0.002, 800.0, seed, reach=1.5)) for seed in range(12)]
    assert np.mean(found) / 0.002 == pytest.approx(1, abs=0.1)


def test_few_reflections_tell_nothing():
    assert rocking_width(*made_up(FEWEST - 1, 0.002, 800.0, 1)) is None
    nothing = np.zeros(100)
    assert rocking_width(nothing, nothing + 2, nothing + 1, nothing, nothing + 1) is None


def test_partiality_is_the_height_of_the_curve():
    assert still_partiality(np.array([0.0, 0.002]), 0.002) == pytest.approx([1, np.exp(-0.5)])
    assert (still_partiality(np.array([0.0, 0.1]), 0.0) == 1).all()
