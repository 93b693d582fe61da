"""The counts to expect of a spot: Wilson's distribution, Poisson's noise."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_noise.signal import expected_signal


def observed(mean, background, n=100_000):
    """True and summed intensities of Wilson's distribution on a background known from five times as many pixels."""
    rng = np.random.default_rng(0)
    true = rng.exponential(mean, n)
    under = rng.poisson(5 * background, n) / 5.0
    return true, rng.poisson(true + background) - under, under * 1.2


@pytest.mark.parametrize("mean", [1.0, 5.0, 45.0, 400.0])
@pytest.mark.parametrize("background", [3.0, 9.0, 40.0])
def test_sigmas_are_those_of_expected_counts(mean, background):
    true, value, variance = observed(mean, background)
    expected = np.full(len(value), mean)
    z = (value - true) / np.sqrt(expected_signal(value, variance, expected) + variance + 1e-9)
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.04)
    # sigmas that followed the counts would have means of z to -0.13
    assert abs(z.mean()) < 0.045
    for some in (true > 2 * mean, true > 4 * mean):
        assert 0.9 < np.sqrt(np.mean(z[some] ** 2)) < 1.6


def test_strong_reflections_keep_their_counts():
    value = np.array([1e3, 1e5])
    assert expected_signal(value, np.full(2, 10.0), np.array([5.0, 5.0])) == pytest.approx(value, rel=0.005)


def test_negative_sums_have_few_counts_to_expect():
    signal = expected_signal(np.array([-8.0]), np.array([30.0]), np.array([4.0]))
    assert 0.0 < signal[0] < 4.0


def test_where_nothing_is_expected_the_observed_counts_are_taken():
    assert expected_signal(np.array([-3.0, 7.0]), np.ones(2), np.full(2, -1.0)).tolist() == [3.0, 7.0]


def test_far_below_and_above_is_finite():
    signal = expected_signal(np.array([-1e4, 0.0, 1e8]), np.array([1.0, 0.0, 1e8]), np.array([1e-3, 0.0, 1e-3]))
    assert np.isfinite(signal).all() and (signal >= 0).all()
