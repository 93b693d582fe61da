"""What every error model must do. Subclass `ErrorModelContract` and name the model.

>>> class TestMine(ErrorModelContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from spindle.contracts.error_model import ErrorModelFit, ErrorModelObservations
from spindle.plugins.host import Handle

from .contract import PluginContract

__all__ = ["ErrorModelContract", "simulated_equivalents"]


def simulated_equivalents(
    n_groups: int = 4000, multiplicity: int = 8, a: float = 1.3, b: float = 0.02, seed: int = 0
) -> ErrorModelObservations:
    """Observations whose true sigma is a sqrt(sigma^2 + (b I)^2)."""
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.exponential(2000.0, n_groups), multiplicity)
    scale = rng.uniform(0.8, 1.2, len(true))
    expected = true * scale
    variance = expected + 25.0
    intensity = expected + a * np.sqrt(variance + (b * expected) ** 2) * rng.normal(size=len(true))
    offsets = np.arange(0, len(true) + 1, multiplicity, dtype=np.int64)
    return ErrorModelObservations(intensity, variance, scale, np.zeros(len(true)), np.ones(len(true)), offsets)


class ErrorModelContract(PluginContract):
    """Checks of an error model."""

    slot: ClassVar[str] = "error_model"
    a: ClassVar[float] = 1.3
    b: ClassVar[float] = 0.02

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
                intensity=observations.intensity, variance=observations.variance, expected=observations.intensity,
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
        variance = self.corrected(plugin, observations, fit)
        n = np.diff(observations.offsets)
        scaled, scaled_variance = observations.intensity / observations.scale, variance / observations.scale**2
        mean = np.repeat(
            np.add.reduceat(scaled / scaled_variance, observations.offsets[:-1])
            / np.add.reduceat(1 / scaled_variance, observations.offsets[:-1]), n,
        )  # fmt: skip
        z2 = (scaled - mean) ** 2 / scaled_variance * np.repeat(n / (n - 1), n)
        strong = mean > np.median(mean)
        assert abs(np.sqrt(z2[strong].mean()) - 1) < 0.06
        assert abs(np.sqrt(z2[~strong].mean()) - 1) < 0.06

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
    def test_too_few_observations_give_the_default(self, plugin: Handle, n_groups: int) -> None:
        few = simulated_equivalents(n_groups=n_groups, multiplicity=2)
        found = plugin.fit_error_model(observations=few, start=None)
        assert found.parameters == plugin.default_error_model().parameters
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
