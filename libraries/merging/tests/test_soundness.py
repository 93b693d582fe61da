"""Data that tell nothing are called so, and good ones are not; ratios to nothing are no numbers."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.symmetry import unique_indices
from spindle_lib_merging import merging_statistics, problems_of, shell_table, summary_table

CELL, GROUP = (30.0, 40.0, 50.0, 90.0, 90.0, 90.0), "P 21 21 21"


def observations(signal, sigma, multiplicity=4, seed=1, d_min=2.0):
    """Exponential true intensities of a mean, measured `multiplicity` times with Gaussian errors."""
    rng = np.random.default_rng(seed)
    unique = unique_indices(CELL, GROUP, d_min)
    hkl = np.repeat(unique, multiplicity, axis=0)
    truth = np.repeat(rng.exponential(1.0, len(unique)) * signal, multiplicity)
    return hkl, truth + rng.normal(0, sigma, len(hkl)), np.full(len(hkl), float(sigma) ** 2)


def statistics(*data):
    return merging_statistics(*data, CELL, GROUP, 10)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_named_and_has_no_negative_r_factors(seed):
    found = statistics(*observations(0.0, 10.0, seed=seed))
    said = problems_of(found)
    assert "I/sigma" in said[0]
    for shell in (*found.shells, found.overall):
        for name in ("r_merge", "r_meas", "r_pim", "r_merge_anomalous", "r_meas_anomalous", "r_pim_anomalous"):
            value = getattr(shell, name)
            assert np.isnan(value) or value >= 0
    text = str(shell_table(found)) + str(summary_table(found.overall, found.shells[0], found.shells[-1]))
    assert not any(f"|  -{digit}" in line and "R" in line for line in text.splitlines() for digit in "0123456789")


def test_a_negative_sum_gives_no_r_factor():
    hkl, value, variance = observations(0.0, 1.0)
    found = statistics(hkl, value - 5.0, variance)
    assert np.isnan(found.overall.r_merge)
    assert any("no meaning" in text for text in problems_of(found))


@pytest.mark.parametrize(("signal", "sigma"), [(100.0, 5.0), (10.0, 5.0), (4.0, 4.0)])
def test_good_and_weak_data_are_not_named(signal, sigma):
    assert problems_of(statistics(*observations(signal, sigma))) == []


def test_data_of_which_only_the_outer_shells_are_noise_are_not_named():
    hkl, value, variance = observations(30.0, 5.0)
    d = 1 / np.sqrt(np.sum((hkl / np.array(CELL[:3])) ** 2, axis=1))
    weak = np.where(d < 4.0, 0.0, 1.0)
    noise = np.random.default_rng(2).normal(0, 5.0, len(hkl))
    assert problems_of(statistics(hkl, value * weak + noise, variance * 2)) == []


def test_an_error_model_that_multiplies_sigmas_is_named():
    found = statistics(*observations(100.0, 5.0))
    assert "60 times" in problems_of(found, sigma_factor=60.0)[0]
    assert problems_of(found, sigma_factor=3.0) == []
