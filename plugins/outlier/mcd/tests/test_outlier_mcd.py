"""The minimum covariance determinant: exhaustive answers for small data, corrections, distances of normal data."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from spindle_outlier_mcd import McdOutlier
from spindle_outlier_mcd.algorithm import minimum_covariance_determinant
from spindle_outlier_mcd.corrections import chi_squared_quantile, consistency_factor, small_sample_factor, subset_size

PARAMS = McdOutlier.Params()


@pytest.mark.parametrize("p", [1, 2, 3])
def test_smallest_determinant_of_small_data_is_found(p: int) -> None:
    data = np.random.default_rng(p).standard_t(3, size=(14, p))
    h = subset_size(14, p, 0.5)
    exact = min(float(np.linalg.det(np.atleast_2d(np.cov(data[list(rows)].T)))) for rows in combinations(range(14), h))
    found = minimum_covariance_determinant(data, PARAMS)
    assert found is not None and found.h == h
    assert found.determinant == pytest.approx(exact, rel=1e-9)


def test_estimate_is_the_covariance_of_its_own_subset() -> None:
    data = np.random.default_rng(0).normal(size=(400, 3)) @ np.diag([1.0, 3.0, 0.1])
    found = minimum_covariance_determinant(data, PARAMS)
    assert found is not None
    centred = data - found.mean
    distances = np.einsum("ij,ij->i", centred, np.linalg.solve(found.covariance, centred.T).T)
    rows = np.argsort(distances)[: found.h]
    assert np.cov(data[rows].T) == pytest.approx(found.covariance)  # a further concentration step changes nothing


@pytest.mark.parametrize("n", [500, 3000, 8000])
def test_normal_data_are_rejected_at_the_level_asked_for(n: int) -> None:
    residuals = np.random.default_rng(n).normal(size=(n, 3)) * [0.02, 0.05, 1e-3]
    flags = McdOutlier().find_outliers(residuals)
    assert flags.mean() == pytest.approx(0.025, abs=4 * np.sqrt(0.025 / n) + 0.004)


def test_a_third_of_gross_outliers_does_not_mask_itself() -> None:
    rng = np.random.default_rng(7)
    residuals = rng.normal(size=(900, 3))
    residuals[:300] += [8.0, 0.0, 8.0]
    flags = McdOutlier().find_outliers(residuals)
    assert flags[:300].all() and flags[300:].mean() < 0.06


def test_corrections_have_published_values() -> None:
    # Croux & Haesbroeck (1999): for p = 2 and half the data the factor is 0.5 / P(chi2_4 <= chi2_2 quantile 1.386) =
    # 3.2589.
    assert chi_squared_quantile(0.5, 2) == pytest.approx(2 * np.log(2))
    assert consistency_factor(0.5, 2) == pytest.approx(0.5 / (1 - 0.5 * (1 + np.log(2))), rel=1e-12)
    assert consistency_factor(1.0, 3) == 1.0
    # Pison, Van Aelst & Willems (2002): the correction vanishes for large samples and exceeds 1 for small ones.
    assert small_sample_factor(10**7, 3, 0.5) == pytest.approx(1.0, abs=1e-3)
    assert small_sample_factor(20, 3, 0.5) > small_sample_factor(100, 3, 0.5) > 1.0
    assert subset_size(100, 3, 0.5) == 52 and subset_size(100, 3, 1.0) == 100


def test_degenerate_residuals_reject_nothing() -> None:
    assert not McdOutlier().find_outliers(np.zeros((50, 3))).any()
    assert not McdOutlier().find_outliers(np.random.default_rng(0).normal(size=(5, 3))).any()
