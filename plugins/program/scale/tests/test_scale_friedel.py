"""Friedel mates: kept apart when the data say that they differ."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest

import spindle
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing.scaling import simulated_scan
from spindle_lib_merging import group_equivalents


def run(parameters=(), **scan):
    experiment, table, truth = simulated_scan(**{"multiplicity": 6, "n_unique": 1000, **scan})
    return spindle.run("scale", Experiments([experiment]), table, **dict(parameters)), truth


def strong_rms_z(result, truth):
    """Rms of (I - true) / sigma of the stronger half, the overall scale taken out."""
    table = result.reflections
    good = table.has_flags(Flag.SCALED) & (truth["intensity"] > np.median(truth["intensity"]))
    g = table["inverse_scale_factor"][good]
    value, sigma = table["intensity.scale.value"][good] / g, np.sqrt(table["intensity.scale.variance"][good]) / g
    true = truth["intensity"][good]
    scale = np.median(value / true)
    return np.sqrt(np.mean(((value - scale * true) / sigma) ** 2))


@pytest.mark.parametrize("multiplicity", [3, 8])
def test_mates_that_differ_are_kept_apart_and_sigmas_are_right(multiplicity, caplog):
    with caplog.at_level(logging.INFO):
        result, truth = run(anomalous=0.08, multiplicity=multiplicity, n_unique=6000 // multiplicity)
    assert result.summary["anomalous"] is True
    (percent,) = re.findall(r"Friedel mates differ by ([\d.]+) %", caplog.text)
    assert float(percent) == pytest.approx(8, abs=2.0)
    assert strong_rms_z(result, truth) == pytest.approx(1.0, abs=0.06)
    assert result.summary["error_models"][0][1] < 0.015
    together, _ = run({"anomalous": False}, anomalous=0.08, multiplicity=multiplicity, n_unique=6000 // multiplicity)
    assert together.summary["anomalous"] is False
    assert together.summary["error_models"][0][1] > 0.025
    assert strong_rms_z(together, truth) < 0.9, "differences taken for errors make sigmas too large"


@pytest.mark.parametrize("errors", [{}, {"a": 1.4, "b": 0.04}, {"multiplicity": 3}, {"background": 4000.0}])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.sampled(4)
def test_mates_that_are_equal_stay_together(errors, seed):
    result, _ = run(seed=seed, **errors)
    assert result.summary["anomalous"] is False


def test_what_the_user_says_holds():
    apart, _ = run({"anomalous": True})
    assert apart.summary["anomalous"] is True


@pytest.mark.parametrize("seed", range(4))
def test_mates_that_are_hardly_measured_twice_stay_together(seed):
    """Errors that nothing but the mates themselves can tell are not taken for differences."""
    experiment, table, _ = simulated_scan(n_unique=700, multiplicity=4, b=0.05, seed=seed)
    apart = group_equivalents(table["miller_index"], experiment.crystal.space_group, anomalous=True)
    rng = np.random.default_rng(seed)
    first = apart.order[apart.offsets[:-1]]
    rows = np.sort(np.concatenate([first, rng.choice(len(table), 60)]))
    result = spindle.run("scale", Experiments([experiment]), table.select(np.unique(rows)))
    assert result.summary["anomalous"] is False


@pytest.mark.parametrize("scan", [{"multiplicity": 1, "n_unique": 60}, {"n_unique": 3}])
def test_few_data_decide_nothing(scan):
    result, _ = run(anomalous=0.2, **scan)
    assert result.summary["anomalous"] is False


def test_groups_come_apart_as_if_they_had_been_grouped_so():
    experiment, table, _ = simulated_scan(n_unique=200, multiplicity=5)
    hkl, group = table["miller_index"], experiment.crystal.space_group
    hkl = np.concatenate([hkl, hkl * [1, 1, 0], hkl[:3]])  # centric ones too
    together, expected = group_equivalents(hkl, group), group_equivalents(hkl, group, anomalous=True)
    apart, whole = together.with_friedel_apart()
    for name in ("order", "offsets", "hkl", "centric", "epsilon"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(expected, name), name)
    np.testing.assert_array_equal(together.index[apart.order[apart.offsets[:-1]]], whole)
