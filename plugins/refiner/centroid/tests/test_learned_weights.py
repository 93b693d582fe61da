"""Weights of spots that are learned from residuals."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner
from spindle_refiner_centroid.precision import learned_weights
from spindle_refiner_centroid.target import Observations

from spindle.contracts.refiner import RefinementResult
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing import make_context
from spindle.testing.refiner import rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings

TRUTH = rotation_experiment(60)


def seen(seed: int) -> tuple[ReflectionTable, np.ndarray]:
    """Spots whose places scatter by 0.02 to 0.3 px, with variances as spot finding gives them; and which are wrong."""
    rng = np.random.default_rng(seed)
    table = spots_of(TRUTH, 2.8)
    sd = 0.02 + 0.28 * rng.random(len(table)) ** 2
    wrong = rng.random(len(table)) < 0.02
    noise = rng.normal(size=(len(table), 3)) * sd[:, None] * [1.0, 1.0, 0.5]
    noise[wrong, :2] += 1.5
    table["xyzobs.px.value"] = table["xyzobs.px.value"] + noise
    table["xyzobs.px.variance"] = np.stack([sd**2 + 1 / 12, sd**2 + 1 / 12, np.full(len(sd), 1 / 12)], axis=1)
    table["true sd"] = sd
    return table, wrong


def refined(table: ReflectionTable, **changes: object) -> RefinementResult:
    settings = plain_settings(reflections__outlier__algorithm="Auto", **changes)
    return CentroidRefiner(None, make_context()).refine(Experiments([TRUTH]), table, settings, False, "refinement")


def error(result: RefinementResult) -> float:
    """Predicted minus true places, rms, px."""
    used = result.reflections.has_flags(Flag.PREDICTED)
    off = result.reflections["xyzcal.px"] - spots_of(TRUTH, 2.8)["xyzobs.px.value"]
    return float(np.sqrt(np.mean(off[used, :2] ** 2)))


def test_spots_that_scatter_little_count_for_more_and_weak_ones_are_no_outliers() -> None:
    better = []
    for seed in range(2):
        table, wrong = seen(seed)
        learned = refined(table)
        plain = refined(table, reflections__weighting_strategy__override="statistical")
        better.append(error(learned) / error(plain))
        rejected = learned.reflections.has_flags(Flag.CENTROID_OUTLIER)
        assert rejected[wrong].mean() > 0.95
        assert rejected[~wrong].mean() < 0.05
        weak = table["true sd"] > 0.2
        assert plain.reflections.has_flags(Flag.CENTROID_OUTLIER)[weak & ~wrong].mean() > 0.5
        assert learned.reduced_chi_squared == pytest.approx(1.0, abs=0.1)
    assert max(better) < 0.75


def observations(n: int, weight: float = 12.0) -> Observations:
    zero = np.zeros(n, np.int64)
    return Observations(
        zero, np.zeros((n, 3)), zero > 0, zero, zero, np.linspace(0, 60, n), np.zeros((n, 3)), np.full((n, 3), weight)
    )


def test_weights_are_one_over_the_variance_whatever_drifts() -> None:
    rng = np.random.default_rng(3)
    n = 6000
    sd = np.where(np.arange(n) % 2 == 0, 0.05, 0.2)
    given = observations(n)
    residuals = rng.normal(size=(n, 3)) * sd[:, None] + np.outer(np.sin(given.z / 10), [1.0, 0.5, 0.0])
    weights = learned_weights(given, residuals, sd**2)
    assert np.median(weights[sd < 0.1], axis=0) ** -0.5 == pytest.approx([0.05] * 3, rel=0.2)
    assert np.median(weights[sd > 0.1], axis=0) ** -0.5 == pytest.approx([0.2] * 3, rel=0.1)


@pytest.mark.parametrize("n", [1, 20, 900])
def test_few_spots_keep_the_weights_they_have(n: int) -> None:
    residuals = np.random.default_rng(0).normal(size=(n, 3))
    assert (learned_weights(observations(n), residuals, np.ones(n)) == 12.0).all()


def test_spots_of_equal_variance_get_equal_weights_and_exact_ones_none() -> None:
    residuals = np.random.default_rng(0).normal(size=(4000, 3)) * [0.1, 0.1, 0.0]
    weights = learned_weights(observations(4000), residuals, np.full(4000, 0.2))
    assert np.ptp(weights[:, 0]) == 0
    assert weights[0, 0] ** -0.5 == pytest.approx(0.1, rel=0.05)
    assert (weights[:, 2] == 12.0).all()
