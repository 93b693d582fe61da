"""Moments of Huber's function of Poisson counts, against the sums over all counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from spindle_lib_noise.robust_counts import huber_poisson_moments, moments_table

C = 1.345


@pytest.mark.parametrize("mu", [1e-3, 0.05, 0.3, 1.0, 3.3, 20.0, 200.0, 5000.0])
def test_moments_equal_the_sums_over_all_counts(mu):
    k = np.arange(0, mu + 20 * np.sqrt(mu) + 40)
    p = poisson.pmf(k, mu)
    psi = np.clip((k - mu) / np.sqrt(mu), -C, C)
    first, information, variance = huber_poisson_moments(mu, C)
    assert first == pytest.approx((psi * p).sum(), abs=1e-11)
    assert information == pytest.approx((psi * (k - mu) / mu * p).sum(), rel=1e-10)
    assert variance == pytest.approx((psi**2 * p).sum() - (psi * p).sum() ** 2, rel=1e-9)


@pytest.mark.parametrize("mu", [1.01e6, 3e7])
def test_moments_of_large_means_are_those_of_the_sums(mu):
    k = np.arange(np.floor(mu - 12 * np.sqrt(mu)), mu + 12 * np.sqrt(mu))
    p = poisson.pmf(k, mu)
    psi = np.clip((k - mu) / np.sqrt(mu), -C, C)
    first, information, variance = huber_poisson_moments(mu, C)
    assert first == pytest.approx((psi * p).sum(), abs=3e-8)
    assert information == pytest.approx((psi * (k - mu) / mu * p).sum(), rel=2e-6)
    assert variance == pytest.approx((psi**2 * p).sum() - (psi * p).sum() ** 2, rel=2e-6)


def test_a_table_holds_the_moments():
    means = np.geomspace(1e-4, 1e4, 50)
    table = moments_table(means, C)
    assert np.allclose(table, [huber_poisson_moments(mu, C) for mu in means], rtol=1e-12)


def test_means_between_those_of_a_table_are_interpolated():
    means = np.geomspace(1e-3, 1e3, 2000)
    between = np.sqrt(means[1:] * means[:-1])
    table, exact = moments_table(means, C), moments_table(between, C)
    found = 0.5 * (table[1:] + table[:-1])
    assert np.allclose(found[:, 0], exact[:, 0], atol=2e-3)
    assert np.allclose(found[:, 1:], exact[:, 1:], rtol=0.01)
