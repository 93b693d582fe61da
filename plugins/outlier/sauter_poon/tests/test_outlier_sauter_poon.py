"""Rejection by comparison with a Rayleigh distribution."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_outlier_sauter_poon import SauterPoonOutlier
from spindle_outlier_sauter_poon.algorithm import fit_rayleigh, rejection_distance

SIZE = np.array([0.1, 0.1])


def test_exact_distribution_gives_its_width() -> None:
    cdf = np.arange(200) / 500
    distances = 0.037 * np.sqrt(-2.0 * np.log1p(-cdf))
    assert fit_rayleigh(distances, cdf) == pytest.approx(0.037, rel=1e-9)


def test_rayleigh_distributed_distances_have_no_outliers_but_the_extreme() -> None:
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(3000, 2)) * 0.02
    limit, sigma = rejection_distance(np.hypot(*residuals.T))
    assert sigma == pytest.approx(0.02, rel=0.05)
    assert np.mean(SauterPoonOutlier().find_outliers(residuals, SIZE)) < 0.01
    assert limit > 3.0 * sigma


def test_everything_beyond_the_first_outlier_goes() -> None:
    rng = np.random.default_rng(2)
    residuals = rng.normal(size=(1000, 2)) * 0.02
    residuals[:100] += 0.2
    flags = SauterPoonOutlier().find_outliers(residuals, SIZE)
    distances = np.hypot(*residuals.T)
    assert flags[:100].all()
    assert distances[flags].min() > distances[~flags].max()


def test_few_spots_are_left_alone() -> None:
    assert not SauterPoonOutlier().find_outliers(np.random.default_rng(0).normal(size=(9, 2)), SIZE).any()


def test_pixel_size_weighs_the_coordinates() -> None:
    rng = np.random.default_rng(3)
    residuals = rng.normal(size=(400, 2)) * 0.02
    residuals[:20] += 0.3
    params = SauterPoonOutlier.Params(px_sz=(0.2, 0.2))
    doubled = SauterPoonOutlier(params).find_outliers(residuals, SIZE)
    assert np.array_equal(doubled, SauterPoonOutlier().find_outliers(2.0 * residuals, SIZE))
