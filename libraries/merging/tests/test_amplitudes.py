"""Amplitudes after French & Wilson (1978), the Wilson plot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate

from spindle_lib_merging import expected_intensity, french_wilson, wilson_plot
from spindle_lib_merging.wilson import _residue_scattering


def test_acentric_zero_without_prior_is_the_half_normal_mean() -> None:
    """h = 0: <J> = sigma sqrt(2 / pi), <F> / sqrt(sigma) = 0.8222 (French & Wilson, table 1)."""
    a = french_wilson([0.0], [4.0], [False])
    assert a.intensity[0] == pytest.approx(4.0 * np.sqrt(2 / np.pi), rel=1e-3)
    assert a.amplitude[0] == pytest.approx(2.0 * 0.8222, rel=1e-3)


@pytest.mark.parametrize("centric", [False, True])
@pytest.mark.parametrize("h", [-3.0, -0.5, 1.0, 2.97, 8.0])
def test_posterior_means_are_integrals(h: float, centric: bool) -> None:
    q = 0.0 if centric else 1.0  # with J = F^2, J^(-1/2) dJ = 2 dF and dJ = 2 F dF

    def moment(power: float) -> float:
        return float(integrate.quad(lambda f: f ** (q + power) * np.exp(-0.5 * (f * f - h) ** 2), 0, 6, limit=200)[0])

    a = french_wilson([h], [1.0], [centric])
    assert a.intensity[0] == pytest.approx(moment(2) / moment(0), rel=2e-3)
    assert a.amplitude[0] == pytest.approx(moment(1) / moment(0), rel=2e-3)


@pytest.mark.parametrize("centric", [False, True])
def test_strong_intensities_are_hardly_changed(centric: bool) -> None:
    a = french_wilson([1e4], [10.0], [centric], [1e4])
    assert a.intensity[0] == pytest.approx(1e4, rel=1e-4)
    assert a.amplitude[0] == pytest.approx(100.0, rel=1e-4)
    assert a.sigma_amplitude[0] == pytest.approx(10.0 / 200.0, rel=1e-3)


def test_table_joins_the_expansion() -> None:
    for centric in (False, True):
        a = french_wilson([11.99, 12.01], [1.0, 1.0], [centric] * 2)
        assert a.amplitude[1] - a.amplitude[0] == pytest.approx(0.02 / (2 * np.sqrt(12)), abs=5e-4)


def test_absurd_intensities_are_rejected() -> None:
    a = french_wilson([-5.0, 1.0], [1.0, 1.0], [False, False])
    assert a.rejected.tolist() == [True, False]
    assert np.isnan(a.amplitude[0]) and np.isfinite(a.amplitude[1])


def test_weak_wilson_distributed_intensities_are_recovered_without_bias() -> None:
    """The posterior mean averages to the true mean when the prior is right."""
    rng = np.random.default_rng(0)
    true = rng.exponential(1.0, 100000)
    a = french_wilson(
        true + rng.normal(size=len(true)), np.ones(len(true)), np.zeros(len(true), bool), np.ones(len(true))
    )
    keep = ~a.rejected
    assert a.intensity[keep].mean() == pytest.approx(true[keep].mean(), rel=0.01)
    assert a.amplitude[keep].mean() == pytest.approx(np.sqrt(true[keep]).mean(), rel=0.01)


def test_expected_intensity_follows_the_fall_off() -> None:
    rng = np.random.default_rng(1)
    d = rng.uniform(1.5, 8.0, 20000)
    mean = 1000 * np.exp(-15 / d**2)
    expected = expected_intensity(mean * rng.exponential(1.0, len(d)), d, np.ones(len(d)), np.zeros(len(d), bool))
    inner = (d > 1.7) & (d < 5)
    assert np.abs(np.log(expected / mean))[inner].mean() < 0.06


def test_wilson_plot_recovers_b() -> None:
    rng = np.random.default_rng(2)
    d = rng.uniform(1.5, 6.0, 30000)
    scattering = np.array([_residue_scattering(0.25 / x**2) for x in np.linspace(1.5, 6.0, 400)])
    sum_f2 = 800 * np.interp(d, np.linspace(1.5, 6.0, 400), scattering)
    intensity = sum_f2 * np.exp(-25.0 / (2 * d**2)) * rng.exponential(1.0, len(d)) / 7.0
    plot = wilson_plot(intensity, d, np.ones(len(d)), n_residues=200, n_symmetry=4)
    assert plot is not None
    assert plot.b_factor == pytest.approx(25.0, abs=0.6)
    assert plot.scale == pytest.approx(7.0, rel=0.05)
