"""Extrapolation to dose zero on simulated crystals whose reflections change differently."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import simulated_scan
from spindle_lib_merging import merge_equivalents


def damaged(change: float, multiplicity: int = 8, seed: int = 2) -> tuple[Experiments, ReflectionTable, np.ndarray]:
    """A scan during which a random part of rms size `change` of the mean structure factor is added to each; its intensities at the start."""
    experiment, table, truth = simulated_scan(
        n_unique=900, multiplicity=multiplicity, n_images=90, scale=lambda z, d: 1 + 0.1 * np.sin(z / 20), seed=seed
    )
    rng = np.random.default_rng(50 + seed)
    unique, which = np.unique(np.sort(np.abs(table["miller_index"]), axis=1), axis=0, return_inverse=True)
    d = np.asarray(table["d"])
    usual = np.sqrt(2000.0 * np.exp(-20.0 / (2 * d**2)))
    part = table["xyzcal.px"][:, 2] / 90.0
    added = change * (rng.normal(size=(len(unique), 2)) @ [1, 1j]) / np.sqrt(2)
    intensity = np.abs(np.sqrt(truth["intensity"]) + part * usual * added[which.ravel()]) ** 2
    expected = truth["scale"] * intensity
    sigma = np.sqrt(expected + 25.0)
    values = expected + sigma * rng.normal(size=len(expected))
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = values, sigma**2
    return Experiments([experiment]), table, truth["intensity"]


def against_the_start(result, true):
    """Merged intensities minus those of the fresh crystal, over their sigmas and over the rms intensity, on one scale."""
    table = result.reflections
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    variance = table["intensity.scale.variance"][good] / g**2
    hkl, group = table["miller_index"][good], result.experiments[0].crystal.space_group
    merged = merge_equivalents(hkl, table["intensity.scale.value"][good] / g, variance, group, False)
    exact = merge_equivalents(hkl, true[good], np.ones(int(good.sum())), group, False).intensity
    k = (merged.intensity @ exact) / (exact @ exact)
    left = merged.intensity / k - exact
    return np.sqrt(((left / merged.sigma * k) ** 2).mean()), np.sqrt((left**2).mean() / (exact**2).mean())


def test_reflections_of_a_damaged_crystal_are_taken_where_it_was_fresh(caplog) -> None:
    experiments, table, true = damaged(0.15)
    with caplog.at_level("INFO"):
        fresh = spindle.run("scale", experiments, table, **{"zero_dose.extrapolate": True})
    plain = spindle.run("scale", experiments, table)
    assert fresh.summary["zero_dose_extrapolated"] and "zero_dose_extrapolated" not in plain.summary
    assert "intensities are extrapolated to dose zero" in caplog.text
    with pytest.raises(UserError, match="extrapolated to dose zero"):
        spindle.run("refine_error_model", fresh.experiments, fresh.reflections)
    z, error = against_the_start(fresh, true)
    z_plain, error_plain = against_the_start(plain, true)
    assert error < 0.6 * error_plain
    assert z == pytest.approx(1.0, abs=0.1) and z_plain > 1.5


def test_a_crystal_without_damage_is_left_as_it_is(caplog) -> None:
    experiments, table, _ = damaged(0.0, seed=4)
    with caplog.at_level("INFO"):
        result = spindle.run("scale", experiments, table, **{"zero_dose.extrapolate": True})
    assert not result.summary["zero_dose_extrapolated"]
    assert "zero-dose extrapolation is left off" in caplog.text
    plain = spindle.run("scale", experiments, table)
    for name in ("intensity.scale.value", "intensity.scale.variance"):
        np.testing.assert_array_equal(result.reflections[name], plain.reflections[name])


def test_without_equivalents_nothing_can_be_proven(caplog) -> None:
    experiments, table, _ = damaged(0.3, multiplicity=1)
    with caplog.at_level("INFO"):
        result = spindle.run("scale", experiments, table, **{"zero_dose.extrapolate": True})
    assert not result.summary["zero_dose_extrapolated"] and "nothing can prove it" in caplog.text


def test_doses_that_do_not_fit_the_data_sets_are_refused() -> None:
    experiments, table, _ = damaged(0.0, multiplicity=2)
    for words, says in (
        ({"dose_per_image": [1.0, 2.0]}, "2 values for 1 experiment"), ({"dose_per_image": [0.0]}, "nothing to compare"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            spindle.run(
                "scale",
                experiments,
                table,
                **{f"zero_dose.{k}": v for k, v in words.items()},
                zero_dose__extrapolate=True,
            )
