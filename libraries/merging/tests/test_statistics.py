"""Merging statistics, by hand, against DIALS's printed table and in the limit of known noise."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_merging import critical_correlation, merging_statistics, resolution_limit, resolution_shells

CELL = (40.0, 50.0, 60.0, 90.0, 90.0, 90.0)


def simulated(noise: float, n: int = 3000, multiplicity: int = 6, seed: int = 0):
    rng = np.random.default_rng(seed)
    hkl = np.unique(rng.integers(1, 20, (n, 3)), axis=0).astype(np.int32)
    true = rng.exponential(100.0, len(hkl))
    which = np.repeat(np.arange(len(hkl)), multiplicity)
    return hkl[which], true[which] + noise * rng.normal(size=len(which)), np.full(len(which), noise**2)


def test_r_factors_by_hand() -> None:
    hkl = np.array([[1, 2, 3], [1, 2, -3], [2, 2, 3], [2, -2, 3], [-2, 2, 3]], dtype=np.int32)
    value = np.array([9.0, 11.0, 18.0, 20.0, 25.0])
    s = merging_statistics(hkl, value, np.ones(5), CELL, "P 2 2 2", n_shells=1).overall
    spread = (2.0, 3.0 + 1.0 + 4.0)
    total = value.sum()
    assert s.r_merge == pytest.approx(sum(spread) / total)
    assert s.r_meas == pytest.approx((np.sqrt(2) * spread[0] + np.sqrt(1.5) * spread[1]) / total)
    assert s.r_pim == pytest.approx((spread[0] + np.sqrt(0.5) * spread[1]) / total)
    assert (s.n_observations, s.n_unique) == (5, 2)


def test_cc_half_follows_signal_and_noise() -> None:
    """CC1/2 = signal variance / (signal variance + noise variance of a half)."""
    s = merging_statistics(*simulated(100.0), CELL, "P 2 2 2", n_shells=5).overall
    expected = 100.0**2 / (100.0**2 + 100.0**2 / 3)
    assert s.cc_half == pytest.approx(expected, abs=0.02)
    assert s.cc_half_sigma_tau == pytest.approx(expected, abs=0.02)
    assert s.cc_half_significant


def test_pure_noise_is_not_significant() -> None:
    hkl, value, _ = simulated(1.0)
    noise = np.random.default_rng(3).normal(size=len(value))
    s = merging_statistics(hkl, noise, np.ones(len(value)), CELL, "P 2 2 2", n_shells=5).overall
    assert abs(s.cc_half) < 0.1
    assert not s.cc_half_significant or s.cc_half < 0.07


def test_critical_correlation_is_students() -> None:
    """Tables: n = 10, one-sided 1 %: 0.7155."""
    assert critical_correlation(10) == pytest.approx(0.7155, abs=2e-4)


def test_shells_have_equal_volume_and_hold_everything() -> None:
    d = np.random.default_rng(0).uniform(1.0, 20.0, 1000)
    edges = resolution_shells(d, 10)
    volume = np.diff(edges**-3)
    np.testing.assert_allclose(volume, volume.mean(), rtol=1e-4)
    s = merging_statistics(*simulated(5.0), CELL, "P 2 2 2", n_shells=7)
    assert sum(x.n_observations for x in s.shells) == s.overall.n_observations
    assert sum(x.n_unique for x in s.shells) == s.overall.n_unique


def test_complete_data_are_complete() -> None:
    from spindle.symmetry import unique_indices

    hkl = unique_indices(CELL, "P 21 21 21", 3.99)
    s = merging_statistics(hkl, np.ones(len(hkl)), np.ones(len(hkl)), CELL, "P 21 21 21", n_shells=4)
    assert all(x.completeness == pytest.approx(1.0) for x in (*s.shells, s.overall))


def test_factor_on_all_intensities_changes_no_ratio() -> None:
    hkl, value, variance = simulated(10.0)
    a = merging_statistics(hkl, value, variance, CELL, "P 2 2 2").overall
    b = merging_statistics(hkl, 7 * value, 49 * variance, CELL, "P 2 2 2").overall
    for name in ("r_merge", "r_meas", "r_pim", "cc_half", "i_over_sigma"):
        assert getattr(b, name) == pytest.approx(getattr(a, name), rel=1e-9)


def test_resolution_limit_is_where_cc_half_falls() -> None:
    hkl, value, _ = simulated(1.0, n=8000)
    d = 1 / np.linalg.norm(hkl / np.array(CELL[:3]), axis=1)
    rng = np.random.default_rng(5)
    noise = 30.0 * np.exp(12.0 * (1 / d**2 - 0.25))
    s = merging_statistics(hkl, value + noise * rng.normal(size=len(d)), noise**2 + 1, CELL, "P 2 2 2")
    # signal variance 100^2, noise of a half noise^2 / 3: CC1/2 = 0.3 where noise^2 = 7e4
    expected = (0.25 + np.log(np.sqrt(7e4) / 30.0) / 12.0) ** -0.5
    assert resolution_limit(s, 0.3) == pytest.approx(expected, abs=0.02)
