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


def damaged(
    change: float, multiplicity: int = 8, seed: int = 2, start: float = 0.0, draw: int = 0
) -> tuple[Experiments, ReflectionTable, np.ndarray]:
    """A scan during which a random part of rms size `change` of the mean structure factor is added to each; its intensities at the start.

    The scan begins after `start` scans; `draw` changes its errors alone.
    """
    experiment, table, truth = simulated_scan(
        n_unique=900, multiplicity=multiplicity, n_images=90, scale=lambda z, d: 1 + 0.1 * np.sin(z / 20), seed=seed
    )
    rng = np.random.default_rng(50 + seed)
    unique, which = np.unique(np.sort(np.abs(table["miller_index"]), axis=1), axis=0, return_inverse=True)
    d = np.asarray(table["d"])
    usual = np.sqrt(2000.0 * np.exp(-20.0 / (2 * d**2)))
    part = start + table["xyzcal.px"][:, 2] / 90.0
    added = change * (rng.normal(size=(len(unique), 2)) @ [1, 1j]) / np.sqrt(2)
    intensity = np.abs(np.sqrt(truth["intensity"]) + part * usual * added[which.ravel()]) ** 2
    expected = truth["scale"] * intensity
    sigma = np.sqrt(expected + 25.0)
    values = expected + sigma * np.random.default_rng(1000 * seed + draw).normal(size=len(expected))
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


def several(doses, bad=None) -> tuple[Experiments, ReflectionTable, np.ndarray]:
    """Scans of one crystal structure that begin at other doses; the intensities of `bad` are wrong."""
    experiments, tables, true = [], [], []
    for k, start in enumerate(doses):
        (experiment,), table, fresh = damaged(0.3, multiplicity=3, seed=2, start=start, draw=k)
        table["id"], table.identifiers = np.full(len(table), k), {k: experiment.identifier}
        if k == bad:
            factor = np.random.default_rng(k).uniform(0.3, 1.7, len(table))
            for kind in ("prf", "sum"):
                table[f"intensity.{kind}.value"] = table[f"intensity.{kind}.value"] * factor
        experiments.append(experiment)
        tables.append(table)
        true.append(fresh)
    whole = ReflectionTable.concatenate(tables)
    whole.identifiers = {k: e.identifier for k, e in enumerate(experiments)}
    return Experiments(experiments), whole, np.concatenate(true)


@pytest.mark.parametrize("way", ["filter", "selection"])
def test_doses_follow_their_data_sets_when_one_is_left_out(way) -> None:
    """Data set 0 goes; the doses of the others stay theirs, and give the fresh crystal as they do without it from the beginning."""
    starts = (0.0, 0.0, 1.0, 2.0)
    experiments, table, _ = several(starts, bad=0)
    lists = {
        "zero_dose.extrapolate": True,
        "zero_dose.dose_per_image": [1 / 90],
        "zero_dose.starting_doses": list(starts),
    }
    options = {
        "filter": {"filtering.method": "deltacchalf", "stdcutoff": 1.0, "max_percent_removed": 40, "max_cycles": 1},
        "selection": {"exclude_datasets": [0]},
    }[way]
    result = spindle.run("scale", experiments, table, **lists, **options)
    assert len(result.experiments) == 3 and result.summary["zero_dose_extrapolated"]
    alone, rows = Experiments(experiments[1:]), table.select(table["id"] > 0)
    rows["id"] = rows["id"] - 1
    rows.identifiers = {k: e.identifier for k, e in enumerate(alone)}
    expected = spindle.run("scale", alone, rows, **{**lists, "zero_dose.starting_doses": list(starts[1:])})
    for name in ("intensity.scale.value", "inverse_scale_factor"):
        np.testing.assert_allclose(result.reflections[name], expected.reflections[name], rtol=1e-6)
