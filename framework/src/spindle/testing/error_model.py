"""What every error model must do. Subclass `ErrorModelContract` and name the model.

>>> class TestMine(ErrorModelContract):
...     name = "mine"
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.error_model import ErrorModelFit, ErrorModelObservations
from spindle.plugins.host import Handle

from .calls import CallContract, Problem

__all__ = ["ErrorModelContract", "simulated_equivalents"]


def simulated_equivalents(
    n_groups: int = 4000,
    multiplicity: int = 8,
    a: float = 1.3,
    b: float = 0.02,
    seed: int = 0,
    uneven: bool = False,
    scales: tuple[float, float] = (0.8, 1.2),
    mean: float = 2000.0,
) -> ErrorModelObservations:
    """Observations whose true sigma is a sqrt(sigma^2 + (b I)^2).

    Parameters
    ----------
    n_groups, multiplicity : int
        Unique reflections and how often each was measured; once to twice as often with `uneven`, with many measured once.
    a, b : float
    seed : int
    uneven : bool
    scales : (float, float)
        Range of the inverse scale factors.
    mean : float
        Mean intensity.
    """
    rng = np.random.default_rng(seed)
    counts = np.full(n_groups, multiplicity)
    if uneven:
        counts = rng.choice([1, 1, 2, 3, multiplicity, 2 * multiplicity], n_groups)
    true = np.repeat(rng.exponential(mean, n_groups), counts)
    scale = rng.uniform(*scales, len(true))
    expected = true * scale
    variance = expected + 25.0
    intensity = expected + a * np.sqrt(variance + (b * expected) ** 2) * rng.normal(size=len(true))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ErrorModelObservations(intensity, variance, scale, np.zeros(len(true)), np.ones(len(true)), offsets)


def expected_of(observations: ErrorModelObservations) -> np.ndarray:
    """(n,) float64: g <I>, the mean over equivalents weighted with the variances of integration; observed where there is one."""
    sizes = np.diff(observations.offsets)
    if not len(sizes):
        return np.zeros(0)
    weight = 1.0 / observations.variance
    top = np.add.reduceat(weight * observations.scale * observations.intensity, observations.offsets[:-1])
    bottom = np.add.reduceat(weight * observations.scale**2, observations.offsets[:-1])
    return np.asarray(observations.scale * np.repeat(top / bottom, sizes))


def spread_of(observations: ErrorModelObservations, variance: np.ndarray) -> tuple[float, float]:
    """Root mean square of the normalised deviations of equivalents, of the strong and of the weak half; 1 when the variances are right."""
    n = np.diff(observations.offsets)
    scaled, scaled_variance = observations.intensity / observations.scale, variance / observations.scale**2
    weight = np.add.reduceat(1 / scaled_variance, observations.offsets[:-1])
    mean = np.repeat(np.add.reduceat(scaled / scaled_variance, observations.offsets[:-1]) / weight, n)
    free = scaled_variance - 1 / np.repeat(weight, n)  # of the deviation from a mean that it is part of
    several = np.repeat(n > 1, n)
    z2 = (scaled - mean)[several] ** 2 / free[several]
    strong = mean[several] > np.median(mean[several])
    return float(np.sqrt(z2[strong].mean())), float(np.sqrt(z2[~strong].mean()))


def assert_usual(found: ErrorModelFit, default: ErrorModelFit) -> None:
    """Where observations tell nothing, parameters are those of the default or not far from them."""
    parameters, usual = np.array(found.parameters), np.array(default.parameters)
    assert np.isfinite(parameters).all()
    assert (parameters >= usual / 3).all() and (parameters <= usual * 3).all(), (parameters, usual)


class ErrorModelContract(CallContract):
    """Checks of an error model.

    Attributes
    ----------
    a, b : float
        The errors of the observations that it is tried on: sigma' = a sqrt(sigma^2 + (b I)^2).
    """

    slot: ClassVar[str] = "error_model"
    a: ClassVar[float] = 1.3
    b: ClassVar[float] = 0.02
    budget_us: ClassVar[float] = 100.0
    rtol: ClassVar[float] = 1e-9

    def problem(self, which: int) -> Problem:
        observations = simulated_equivalents(
            (700, 700, 300)[which], 5, a=(1.3, 0.8, 2.0)[which], b=(0.02, 0.05, 0.01)[which], seed=50 + which
        )
        return "fit_error_model", {"observations": observations, "start": None}

    def large_problem(self) -> tuple[Problem, int]:
        observations = simulated_equivalents(4000, 5, seed=53)
        return ("fit_error_model", {"observations": observations, "start": None}), len(observations.intensity)

    def telling_problems(self) -> list[Problem]:
        """Observations of which some were recorded in part, and whose photon counts are known."""
        some = simulated_equivalents(700, 6, seed=54, uneven=True, scales=(0.5, 2.0))
        rng = np.random.default_rng(55)
        known = replace(some, counting=np.abs(some.intensity), partiality=rng.choice([1.0, 0.6], len(some.intensity)))
        return [("fit_error_model", {"observations": known, "start": None})]

    @pytest.fixture
    def observations(self) -> ErrorModelObservations:
        """Observations with errors of known size."""
        return simulated_equivalents(a=self.a, b=self.b)

    @pytest.fixture
    def fit(self, plugin: Handle, observations: ErrorModelObservations) -> ErrorModelFit:
        """The fitted model."""
        found: ErrorModelFit = plugin.fit_error_model(observations=observations, start=None)
        return found

    def corrected(self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit) -> np.ndarray:
        """Variances of the observations under the model."""
        return np.asarray(
            plugin.corrected_variance(
                intensity=observations.intensity, variance=observations.variance, expected=expected_of(observations),
                counting=observations.counting, model=fit,
            )
        )  # fmt: skip

    def test_says_what_it_found(self, fit: ErrorModelFit) -> None:
        assert fit.kind and fit.description and fit.parameters

    def test_variances_are_positive(
        self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        assert self.corrected(plugin, observations, fit).min() > 0

    def test_default_model_gives_variances(self, plugin: Handle, observations: ErrorModelObservations) -> None:
        assert self.corrected(plugin, observations, plugin.default_error_model()).min() > 0

    def test_scatter_of_equivalents_is_explained(
        self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        strong, weak = spread_of(observations, self.corrected(plugin, observations, fit))
        assert abs(strong - 1) < 0.06, "strong reflections"
        assert abs(weak - 1) < 0.06, "weak reflections"

    @pytest.mark.parametrize("case", ["scales", "uneven", "strong", "both"])
    def test_scatter_is_explained_whatever_the_scales_and_multiplicities(self, plugin: Handle, case: str) -> None:
        many = case in ("uneven", "both")
        observations = simulated_equivalents(
            8000 if many else 4000, 4 if many else 8, self.a, self.b, seed=56, uneven=many,
            scales=(0.2, 5.0) if case in ("scales", "both") else (0.8, 1.2), mean=50_000.0 if case == "strong" else 2000.0,
        )  # fmt: skip
        fit = plugin.fit_error_model(observations=observations, start=None)
        strong, weak = spread_of(observations, self.corrected(plugin, observations, fit))
        assert abs(strong - 1) < 0.08, "strong reflections"
        assert abs(weak - 1) < 0.08, "weak reflections"

    def test_variances_that_hold_all_counts_are_believed(self, plugin: Handle) -> None:
        """Photons on backgrounds of all sizes: neither counts nor background are to be weighed anew."""
        rng = np.random.default_rng(58)
        true, background = np.repeat(rng.exponential(20.0, 4000), 6), rng.uniform(0.0, 60.0, 24_000)
        intensity, ones = rng.poisson(true + background) - background, np.ones(24_000)
        counted = ErrorModelObservations(
            intensity, true + background, ones, true, ones, np.arange(0, 24_001, 6), counted=True
        )
        fit = plugin.fit_error_model(observations=counted, start=None)
        strong, weak = spread_of(counted, self.corrected(plugin, counted, fit))
        assert abs(strong - 1) < 0.05, "strong reflections"
        assert abs(weak - 1) < 0.05, "weak reflections"
        nothing = np.zeros(4)
        alone = plugin.corrected_variance(nothing, np.array([1.0, 5.0, 20.0, 60.0]), nothing, nothing, fit)
        np.testing.assert_allclose(alone, [1.0, 5.0, 20.0, 60.0], rtol=0.1, err_msg="variances without signal")

    def test_reflections_measured_once_tell_nothing(self, plugin: Handle) -> None:
        once = simulated_equivalents(3000, 1, self.a, self.b, seed=57)
        found = plugin.fit_error_model(observations=once, start=None)
        assert_usual(found, plugin.default_error_model())
        variance = self.corrected(plugin, once, found)
        assert np.isfinite(variance).all() and variance.min() > 0

    def test_an_earlier_fit_does_not_decide(
        self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        for start in (fit, plugin.default_error_model()):
            again = plugin.fit_error_model(observations=observations, start=start)
            strong, weak = spread_of(observations, self.corrected(plugin, observations, again))
            assert abs(strong - 1) < 0.06 and abs(weak - 1) < 0.06

    def test_a_fit_is_all_that_variances_depend_on(
        self, plugin: Handle, another: Any, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        """Another instance, in another run, gives the same variances from what the file holds."""
        read = ErrorModelFit(fit.kind, tuple(float(p) for p in fit.parameters), details=dict(fit.details))
        one, other = self.corrected(plugin, observations, fit), self.corrected(another(), observations, read)
        np.testing.assert_allclose(one, other, rtol=1e-12)

    def test_variances_of_some_rows_are_those_among_all(
        self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        expected = expected_of(observations)
        columns = (observations.intensity, observations.variance, expected, observations.counting)
        every = plugin.corrected_variance(*columns, model=fit)
        rows = np.array([5, 3, 77])
        np.testing.assert_allclose(plugin.corrected_variance(*(c[rows] for c in columns), model=fit), every[rows])
        assert plugin.corrected_variance(*(c[:0] for c in columns), model=fit).shape == (0,)

    def test_variances_grow_with_what_they_are_made_of(self, plugin: Handle, fit: ErrorModelFit) -> None:
        """Neither an intensity nor an expectation below zero takes anything away; larger errors stay larger."""
        expected = np.array([-1e5, -500.0, -1.0, 0.0, 10.0, 1e3, 1e6])
        ones = np.ones(len(expected))
        for intensity in (expected, 0 * ones):
            found = plugin.corrected_variance(intensity, 400.0 * ones, expected, 0.0 * ones, fit)
            assert (found >= found[3] * (1 - 1e-9)).all(), "a negative intensity lowers the variance"
            assert (np.diff(found[3:]) >= 0).all(), "a larger intensity has a smaller variance"
        variance = np.array([1.0, 10.0, 400.0, 1e5])
        flat = np.full(4, 100.0)
        found = plugin.corrected_variance(flat, variance, flat, 0 * flat, fit)
        assert (np.diff(found) > 0).all(), "larger variances of integration stay larger"

    def test_weights_do_not_follow_the_noise(self, plugin: Handle, fit: ErrorModelFit) -> None:
        """The variance of equivalents depends on what is expected of them, not on what each happened to be."""
        same = np.full(5, 1e4)
        intensity = same + np.array([-900.0, -300.0, 0.0, 300.0, 900.0])
        found = plugin.corrected_variance(intensity, np.full(5, 1e4), same, np.zeros(5), fit)
        assert np.ptp(found) < 1e-6 * found.mean()

    def test_order_of_groups_does_not_matter(
        self, plugin: Handle, observations: ErrorModelObservations, fit: ErrorModelFit
    ) -> None:
        k = int(observations.offsets[1])
        order = np.arange(len(observations.intensity)).reshape(-1, k)[::-1].ravel()
        turned = ErrorModelObservations(
            observations.intensity[order], observations.variance[order], observations.scale[order],
            observations.counting[order], observations.partiality[order], observations.offsets,
        )  # fmt: skip
        again = plugin.fit_error_model(observations=turned, start=None)
        np.testing.assert_allclose(again.parameters, fit.parameters, rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize("n_groups", [0, 1, 5])
    def test_too_few_observations_give_what_is_usual(self, plugin: Handle, n_groups: int) -> None:
        few = simulated_equivalents(n_groups=n_groups, multiplicity=2)
        found = plugin.fit_error_model(observations=few, start=None)
        assert_usual(found, plugin.default_error_model())
        assert self.corrected(plugin, few, found).shape == (2 * n_groups,)

    @pytest.mark.parametrize("value", [0.0, 1000.0])
    def test_equivalents_that_all_are_alike_give_finite_variances(self, plugin: Handle, value: float) -> None:
        n = 1000
        alike = ErrorModelObservations(
            np.full(n, value), np.full(n, 50.0), np.ones(n), np.zeros(n), np.ones(n), np.arange(0, n + 1, 4)
        )
        found = plugin.fit_error_model(observations=alike, start=None)
        assert np.isfinite(found.parameters).all()
        variance = self.corrected(plugin, alike, found)
        assert np.isfinite(variance).all() and variance.min() > 0

    def test_rows_may_be_measured_very_badly(self, plugin: Handle, fit: ErrorModelFit) -> None:
        values = np.array([0.0, -50.0, 1e6, 1e-3])
        found = plugin.corrected_variance(values, np.array([1e12, 1e-6, 0.0, 1.0]), values, np.zeros(4), fit)
        assert np.isfinite(found).all() and (found >= 0).all()
