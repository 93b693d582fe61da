"""Reflections of few photons: variances hold the counts that equivalents let expect, where integration says what it expected."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan
from spindle_lib_noise.signal import expected_signal


def few_photons(seed: int, draw: int = 0, n_unique: int = 3000, mean: float = 12.0, background: float = 3.0):
    """A scan of Poisson counts, with variances of expected counts as integration makes them, and the true intensities of its rows."""
    rng = np.random.default_rng([seed, draw])
    experiment, table, truth = simulated_scan(n_unique=n_unique, multiplicity=5, seed=seed)
    true = truth["intensity"] * mean / truth["intensity"].mean()
    # of half the reflections a sixth of the photons: shells that differ
    usual = np.where(table["d"] > np.median(table["d"]), mean, mean / 6)
    true = true * usual / mean
    lp = rng.uniform(0.6, 1.4, len(true))
    counts = true / lp
    value = rng.poisson(counts + background) - rng.poisson(20 * background, len(true)) / 20
    under = np.full(len(true), 1.05 * background)
    expected = np.array([counts[usual == u].mean() for u in (mean, mean / 6)])[(usual < mean).astype(int)]
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"] = value
        table[f"intensity.{kind}.variance"] = expected_signal(value, under, expected) + under
    table["lp"], table["expected_counts"] = lp, expected
    return experiment, table, true


def of_merged(table: ReflectionTable, true: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(m,) float64: (merged - true) / sigma of the reflections that some rows belong to; merged with the variances as weights."""
    g = table["inverse_scale_factor"][good]
    scaled, variance = table["intensity.scale.value"][good] / g, table["intensity.scale.variance"][good] / g**2
    same = np.unique(np.sort(np.abs(table["miller_index"][good]), axis=1), axis=0, return_inverse=True)[1].ravel()
    bottom = np.bincount(same, 1 / variance)
    mean = np.bincount(same, scaled / variance) / bottom
    there = np.bincount(same, true[good]) / np.bincount(same)
    return (mean - there * (mean * there).sum() / (there * there).sum()) * np.sqrt(bottom)


@pytest.mark.parametrize("seed", [1, 2])
def test_merged_intensities_of_few_photons_have_their_sigmas(seed: int) -> None:
    experiment, table, true = few_photons(seed)
    result = spindle.run("scale", Experiments([experiment]), table)
    ((a, _),) = result.summary["error_models"]
    # with the counts of integration it is 0.82, and the rms of the halves 0.85 and 1.1
    assert 0.95 < a < 1.05
    good = result.reflections.has_flags(Flag.SCALED)
    strong = table["expected_counts"] == table["expected_counts"].max()
    for half in (good & strong, good & ~strong):
        z = of_merged(result.reflections, true, half)
        assert abs(z.mean()) < 0.1  # the error of a mean of 1500 is 0.026
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.05)


def test_sets_with_and_without_expected_counts_have_errors_of_their_own(caplog) -> None:
    caplog.set_level("INFO")
    one, first, _ = few_photons(3, n_unique=1500)
    two, second, _ = few_photons(3, 1, 1500)
    second = second.without("expected_counts")
    together = {"weighting.error_model.grouping": "combined"}
    combined = spindle.run("scale", Experiments([one, two]), [first, second], **together)
    assert (
        len({e.scaling_model["configuration_parameters"]["error_model_parameters"][0] for e in combined.experiments})
        == 1
    )
    result = spindle.run("scale", Experiments([one, two]), [first, second])
    assert "Of 2 data sets 1 tell the counts" in caplog.text
    known, unknown = (e.scaling_model["configuration_parameters"] for e in result.experiments)
    assert 0.9 < known["error_model_parameters"][0] < 1.1 and known["error_model_counting"] < 0.05
    assert unknown["error_model_parameters"][0] < 0.9 and unknown["error_model_counting"] > 0.1
    again = spindle.run("scale", result.experiments, result.reflections)
    for before, after in zip(result.experiments, again.experiments, strict=True):
        old, new = (e.scaling_model["configuration_parameters"]["error_model_parameters"] for e in (before, after))
        np.testing.assert_allclose(new[0], old[0], rtol=0.02)
    caplog.clear()
    refined = spindle.run("refine_error_model", result.experiments, result.reflections)
    assert "Of 2 data sets 1 tell the counts" in caplog.text
    np.testing.assert_allclose(refined.summary["error_models"], result.summary["error_models"], rtol=0.05)


def test_what_integration_does_not_know_changes_nothing() -> None:
    experiment, table, _ = few_photons(5, n_unique=1000)
    without = spindle.run("scale", Experiments([experiment]), table.without("expected_counts"))
    table["expected_counts"][:] = np.where(np.arange(len(table)) % 2, -1.0, 0.0)
    unknown = spindle.run("scale", Experiments([experiment]), table)
    np.testing.assert_array_equal(
        unknown.reflections["intensity.scale.variance"], without.reflections["intensity.scale.variance"]
    )
