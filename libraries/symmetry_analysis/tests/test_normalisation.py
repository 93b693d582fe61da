"""The fall-off of intensities with resolution."""

from __future__ import annotations

import numpy as np
import pytest

from spindle_lib_symmetry_analysis.normalisation import expected_scattering, maximum_likelihood, within_signal


@pytest.mark.parametrize("seed", range(6))
def test_the_fall_off_is_found_where_half_of_the_reflections_are_noise(seed):
    """A crystal that scatters to 1 angstrom, on a detector that reaches 0.72."""
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(6000, 3))
    q = q / np.linalg.norm(q, axis=1)[:, None] * 1.4 * rng.uniform(0, 1, (6000, 1)) ** (1 / 3)
    q = q[np.linalg.norm(q, axis=1) > 0.1][:1800]
    x = (q * q).sum(axis=1)
    true = 0.5 * expected_scattering(x) * np.exp(-4.0 * x / 2) * (x < 1.0)
    sigma = np.sqrt(0.5 + true / 50)
    intensity = true * rng.exponential(size=len(x)) + sigma * rng.normal(size=len(x))
    fitted = within_signal(intensity, sigma, x)
    assert x[fitted].max() == pytest.approx(1.0, abs=0.1)
    expected, _, B = maximum_likelihood(intensity, q, np.ones(len(x)), True, fitted)
    np.testing.assert_allclose(np.diag(B), 4.0, atol=1.2)
    seen = x < 0.9
    assert np.mean(intensity[seen] / expected[seen]) == pytest.approx(1.0, abs=0.1)


def test_all_reflections_are_within_strong_data():
    x = np.linspace(0.01, 1.0, 950)
    assert within_signal(np.full(950, 10.0), np.ones(950), x).all()
    assert within_signal(np.zeros(950), np.ones(950), x).all(), "noise alone: there is nothing to choose"
