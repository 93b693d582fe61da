"""The basic error model: what its weights follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_error_model_basic import BasicErrorModel, likelihood

from spindle.contracts.error_model import ErrorModelFit, ErrorModelObservations
from spindle.testing.error_model import simulated_equivalents


@pytest.fixture
def model() -> ErrorModelFit:
    return ErrorModelFit("BasicErrorModel", (1.0, 0.2), details={"c": 0.0})


def test_weighted_means_are_not_biased_by_the_noise(model: ErrorModelFit) -> None:
    rng = np.random.default_rng(4)
    n, true = 20_000, 1000.0
    intensity = true * (1.0 + 0.2 * rng.normal(size=n))
    plugin = BasicErrorModel()
    variance = plugin.corrected_variance(intensity, np.full(n, 100.0), np.full(n, true), np.zeros(n), model)
    # The variance of the mean is 0.2^2 / n; weights from the observed intensity put it 8 % too low.
    assert np.average(intensity, weights=1.0 / variance) == pytest.approx(true, rel=5 * 0.2 / np.sqrt(n))


def test_a_negative_expectation_counts_as_none(model: ErrorModelFit) -> None:
    one = np.ones(1)
    variance = BasicErrorModel().corrected_variance(-500.0 * one, 9.0 * one, -400.0 * one, 0.0 * one, model)
    assert variance == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("minimisation", "tolerance"), [("likelihood", 0.03), ("individual", 0.2), ("regression", 0.2)]
)
def test_large_relative_errors_are_found(minimisation: str, tolerance: float) -> None:
    params = BasicErrorModel.Params(minimisation=minimisation)
    observations = simulated_equivalents(n_groups=3000, multiplicity=8, a=1.0, b=0.2)
    found = BasicErrorModel(params).fit_error_model(observations, None)
    # individual (bins weighed towards the strongest) and regression (a straight line) are approximations.
    assert found.parameters[0] * found.parameters[1] == pytest.approx(0.2, rel=tolerance)


@pytest.mark.parametrize("minimisation", ["likelihood", "individual", "regression"])
def test_equivalents_without_scatter_end_in_a_model(minimisation: str) -> None:
    params = BasicErrorModel.Params(minimisation=minimisation)
    n = 1000
    ones = np.ones(n)
    alike = ErrorModelObservations(1000 * ones, 50 * ones, ones, 0 * ones, ones, np.arange(0, n + 1, 4))
    found = BasicErrorModel(params).fit_error_model(alike, None)
    variance = BasicErrorModel(params).corrected_variance(1000 * ones, 50 * ones, 1000 * ones, 0 * ones, found)
    assert np.isfinite(variance).all() and variance.min() > 0


def test_one_reflection_many_times_is_enough_or_says_so() -> None:
    rng = np.random.default_rng(1)
    n = 400
    expected = np.full(n, 5000.0)
    intensity = expected + np.sqrt(expected) * rng.normal(size=n)
    observations = ErrorModelObservations(intensity, expected, np.ones(n), expected, np.ones(n), np.array([0, n]))
    found = BasicErrorModel().fit_error_model(observations, None)
    variance = BasicErrorModel().corrected_variance(intensity, expected, expected, expected, found)
    assert np.sqrt(variance.mean() / 5000.0) == pytest.approx(1.0, abs=0.15)


def test_a_fit_in_blocks_of_reflections_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many observations are looked at some at a time; reflections of one observation count for nothing, at the edges too."""
    rng = np.random.default_rng(6)
    sizes = rng.integers(1, 9, 700)
    sizes[::50] = 1
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    n = int(offsets[-1])
    scale, counting = rng.uniform(0.5, 2.0, n), rng.uniform(1.0, 50.0, n)
    true = np.repeat(rng.exponential(500.0, 700), sizes) * scale
    variance = true + 20.0
    intensity = true + rng.normal(size=n) * np.sqrt(1.7 * (variance + 0.5 * counting + (0.05 * true) ** 2))
    for fixed in ((None, None, None), (None, 0.03, 0.0), (1.0, 0.02, 0.1)):
        found = []
        for at_once in (10**6, 100):
            monkeypatch.setattr(likelihood, "OBSERVATIONS_AT_ONCE", at_once)
            found.append(likelihood.fit_likelihood(intensity, variance, scale, counting, offsets, fixed))
        assert found[1] == pytest.approx(found[0], rel=1e-8)
        assert all(f is None or f == value for f, value in zip(fixed, found[0], strict=True))


def test_with_few_equivalents_b_is_between_what_they_say_and_what_is_usual() -> None:
    nothing = ErrorModelObservations(*np.zeros((5, 0)), np.zeros(1, np.int64))
    found = BasicErrorModel().fit_error_model(nothing, None)
    assert found.parameters == (1.0, pytest.approx(0.03))
    assert found.details["assumed"] and found.details["n_deviations"] == 0
    values = []
    for n_groups in (5, 20, 60):
        few = simulated_equivalents(n_groups=n_groups, multiplicity=2, a=1.0, b=0.15)
        found = BasicErrorModel().fit_error_model(few, None)
        assert found.details["n_deviations"] == n_groups
        values.append(found.parameters[1])
    assert 0.03 < values[0] < values[2] < 0.2
    assert values[2] > 0.1
    kept = BasicErrorModel(BasicErrorModel.Params(b=0.07)).fit_error_model(nothing, None)
    assert kept.parameters[1] == 0.07 and not kept.details["assumed"]


def photons(background: float, counts: float) -> ErrorModelObservations:
    """Equivalents whose variances hold backgrounds of 0 to 60 and all counts of 0 to 60 photons; the true ones are so many times those."""
    rng = np.random.default_rng(8)
    true, under = np.repeat(rng.exponential(20.0, 6000), 6), rng.uniform(0.0, 60.0, 36_000)
    intensity = true + np.sqrt(background * under + counts * true) * rng.normal(size=len(true))
    ones = np.ones(len(true))
    return ErrorModelObservations(intensity, under + true, ones, true, ones, np.arange(0, 36_001, 6), counted=True)


@pytest.mark.parametrize(
    ("background", "counts", "a", "c"),
    [
        (1.0, 1.0, 1.0, 0.0),  # nothing is wrong
        (1.3, 1.3, 1.3**0.5, 0.0),  # a gain that nobody knew
        (1.0, 1.5, 1.0, 0.5),  # counts scatter more than photons
        (0.7, 0.9, 0.86, 0.0),  # unconstrained a = 0.84, c = 0.29; without c the weak ones, which are many, decide
        (0.9, 1.5, 1.0, 0.4),  # unconstrained a = 0.95, c = 0.67; without c a = 1.12
    ],
)
def test_counts_that_variances_hold_are_no_excuse_for_less_background(background, counts, a, c) -> None:
    observations = photons(background, counts)
    found = BasicErrorModel().fit_error_model(observations, None)
    assert found.parameters[0] == pytest.approx(a, abs=0.02)
    assert found.details["c"] == pytest.approx(c, abs=0.1)
    kept = BasicErrorModel(BasicErrorModel.Params(a=0.9)).fit_error_model(observations, None)
    assert kept.parameters[0] == 0.9, "what is given stays"
    free = BasicErrorModel().fit_error_model(replace(observations, counted=False), None)
    assert free.parameters[0] == pytest.approx(background**0.5, abs=0.03)
    assert free.details["c"] == pytest.approx(counts / background - 1, abs=0.12)
