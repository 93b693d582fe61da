"""The counts to expect of a spot: Wilson's distribution, Poisson's noise."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_noise.believed import counts_of_variance
from spindle_lib_noise.signal import counts_in_variance, drawn_counts, expected_signal, sets_by_counts


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


@pytest.mark.parametrize("mean", [1.0, 5.0, 45.0, 400.0])
@pytest.mark.parametrize("background", [3.0, 40.0])
def test_counts_of_a_variance_are_found_again(mean, background):
    _, value, variance = observed(mean, background, 20_000)
    expected = np.full(len(value), mean)
    made = expected_signal(value, variance, expected)
    found = counts_in_variance(value, made + variance, expected)
    assert np.quantile(np.abs(found - made) / np.sqrt(made + variance + 1e-9), 0.99) < 0.15
    assert found.mean() == pytest.approx(made.mean(), rel=0.005)


def test_counts_of_a_variance_are_unknown_where_none_were_expected():
    found = counts_in_variance(np.array([5.0, 5.0, np.nan, 5.0]), np.full(4, 9.0), np.array([-1.0, 0.0, 5.0, 5.0]))
    assert found[:3].tolist() == [-1.0, -1.0, -1.0] and 0.0 < found[3] <= 9.0
    assert counts_in_variance(*np.zeros((3, 0))).shape == (0,)


def test_counts_are_drawn_as_integration_draws_them():
    mean, believed, variance = np.meshgrid([0.5, 3.0, 40.0], [0.1, 3.0, 200.0], [2.0, 50.0, np.inf])
    found = drawn_counts(mean, believed, variance)
    for at in np.ndindex(found.shape):
        assert found[at] == pytest.approx(counts_of_variance(mean[at], believed[at], variance[at]), rel=1e-9)
    assert found[..., 2] == pytest.approx(believed[..., 2])


def test_means_of_several_have_their_errors_with_the_counts_that_they_let_expect():
    """Drawn Poisson counts: the variance of a mean that held its own counts would make the mean of z -0.1."""
    rng = np.random.default_rng(2)
    true = np.repeat(rng.exponential(6.0, 20_000), 3).reshape(-1, 3)
    value = rng.poisson(true + 2.0) - 2.0
    counts = np.maximum(value.mean(axis=1), 0.05)
    of_mean = (2.0 + drawn_counts(np.full(20_000, 6.0), counts, np.full(20_000, 3 * 8.0))) / 3
    z = (value.mean(axis=1) - true[:, 0]) / np.sqrt(of_mean)
    assert abs(z.mean()) < 0.06 < -((value.mean(axis=1) - true[:, 0]) / np.sqrt((2.0 + counts) / 3)).mean()
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.03)


def test_sets_are_told_apart_by_what_their_variances_are_made_of() -> None:
    number, group = np.repeat([0, 1, 2], 400), np.tile(np.arange(100), 12)
    assert sets_by_counts(number, number != 1, group, 3) == [[0, 2], [1]]
    assert sets_by_counts(number, number >= 0, group, 3) == [[0, 1, 2]]
    # of the second set no reflection is measured twice: an error model of its own cannot be told
    once = np.where(number == 1, 1000 + np.arange(1200), group)
    assert sets_by_counts(number, number != 1, once, 3) == [[0, 1, 2]]
    none = np.zeros(0, np.int64)
    assert sets_by_counts(none, none > 0, none, 1) == [[0]]
