"""Twins, whose intensities correlate in a symmetry that they do not have, and crystals whose scales drift."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.models import Crystal, Experiments
from spindle.symmetry import asu_indices, is_centric, is_systematically_absent
from spindle.table import Flag, ReflectionTable
from spindle.testing.scaling import scan_experiment

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


def integrated(symbol, fraction=0.0, seed=1, drift=0.0, noise=0.04, gamma=90.0):
    """Half a sphere of a crystal in P 1, twinned by k, h, -l, under scales that drift along the scan."""
    group, cell = gemmi.SpaceGroup(symbol), gemmi.UnitCell(*CELL[:5], gamma)
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), 3.0, 0.0).astype(np.int32)
    hkl = np.concatenate([hkl, -hkl])[rng.permutation(2 * len(hkl))[: int(1.2 * len(hkl))]]
    mates = np.column_stack([hkl[:, 1], hkl[:, 0], -hkl[:, 2]])
    asu = asu_indices(np.concatenate([hkl, mates]), group)[0]
    unique, number = np.unique(asu, axis=0, return_inverse=True)
    z = np.where(is_centric(unique, group), rng.normal(size=len(unique)) ** 2, rng.exponential(size=len(unique)))
    z[is_systematically_absent(unique, group)] = 0.0
    own, mate = z[number.ravel()].reshape(2, -1)
    d = np.asarray(cell.calculate_d_array(hkl))
    image = rng.uniform(0, 120, len(hkl))
    value = 1000 * ((1 - fraction) * own + fraction * mate) * np.exp(-10 / d**2) * (1 + drift * np.sin(image / 25))
    sigma = noise * value + 3.0
    n = len(hkl)
    table = ReflectionTable({
        "miller_index": hkl, "id": np.zeros(n, int), "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "d": d,
        "intensity.sum.value": value + rng.normal(0, sigma), "intensity.sum.variance": (0.3 * sigma) ** 2 + 1.0,
        "partiality": np.ones(n), "partial_id": np.arange(n),
        "xyzcal.px": np.column_stack([np.full((n, 2), 5.0), image]),
        "xyzcal.mm": np.column_stack([np.zeros((n, 2)), np.radians(image)]),
    })  # fmt: skip
    experiment = replace(scan_experiment(120), crystal=Crystal.from_cell((*CELL[:5], gamma), np.eye(3), "P 1"))
    return Experiments([experiment]), table


@pytest.mark.parametrize("fraction", [0.3, 0.38, 0.45])
@pytest.mark.sampled(3)
def test_a_twin_keeps_the_symmetry_of_its_crystals(fraction, caplog):
    result = spindle.run("symmetry", *integrated("P 41", fraction, drift=0.3))
    assert result.experiments[0].crystal.space_group.hm == "P 41"
    assert "problem" not in result.summary
    assert f"Twin law k,h,-l, fraction {fraction:.2f}" in caplog.text
    assert "Too few observations" not in caplog.text
    if fraction > 0.35:
        assert "P 4/m is taken" in caplog.text


@pytest.mark.parametrize(("symbol", "lower", "gamma", "seed"), [("P 41", "P 1 1 2", 90.0, 2), ("P 3", "P 1", 120.0, 3)])
@pytest.mark.sampled(2)
def test_the_axis_of_a_twin_is_not_taken_for_its_law(symbol, lower, gamma, seed):
    """Equals differ by 30 %, as under errors that follow the place on the detector; k,h,-l explains why neighbours are alike."""
    experiments, table = integrated(symbol, 0.3, seed, gamma=gamma)
    asu = asu_indices(table["miller_index"], gemmi.SpaceGroup(lower))[0]
    _, number = np.unique(asu, axis=0, return_inverse=True)
    change = np.exp(0.3 * np.random.default_rng(seed).normal(size=int(number.max()) + 1))[number.ravel()]
    table["intensity.sum.value"] = table["intensity.sum.value"] * change
    table["intensity.sum.variance"] = table["intensity.sum.variance"] * change**2
    result = spindle.run("symmetry", experiments, table)
    assert result.experiments[0].crystal.space_group.hm == symbol


@pytest.mark.parametrize(("symbol", "seed"), [("P 41 21 2", 1), ("P 41 21 2", 2), ("P 4 2 2", 3), ("P 2 2 2", 4)])
def test_drifting_scales_make_no_twin(symbol, seed, caplog):
    result = spindle.run("symmetry", *integrated(symbol, seed=seed, drift=0.5, noise=0.08))
    assert result.experiments[0].crystal.space_group.hm == symbol
    assert "problem" not in result.summary
    assert not [r for r in caplog.records if r.levelname == "WARNING" and "twin" in r.getMessage()]


def test_a_perfect_twin_is_told_of():
    result = spindle.run("symmetry", *integrated("P 41", 0.5))
    assert result.experiments[0].crystal.space_group.hm == "P 41 2 2"
    assert "twinned" in result.summary["problem"]


def test_a_pseudo_symmetry_is_not_taken_for_one():
    experiments, table = integrated("P 41 2 2")
    rng = np.random.default_rng(9)
    asu = asu_indices(table["miller_index"], gemmi.SpaceGroup("P 41"))[0]
    _, number = np.unique(asu, axis=0, return_inverse=True)
    change = np.exp(0.6 * rng.normal(size=int(number.max()) + 1))[number.ravel()]
    table["intensity.sum.value"] = table["intensity.sum.value"] * change
    table["intensity.sum.variance"] = table["intensity.sum.variance"] * change**2
    result = spindle.run("symmetry", experiments, table)
    assert result.experiments[0].crystal.space_group.hm == "P 41"


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.sampled(3)
def test_a_twin_of_few_observations_is_said_to_be_undecided(seed, caplog):
    """Mates of a twin of 45 % look like equivalents in 800 observations."""
    experiments, table = integrated("P 41", 0.45, seed, drift=0.3)
    result = spindle.run("symmetry", experiments, table.select(np.arange(800)))
    assert "too few observations" in result.summary["problem"]
    assert "Too few observations decide the Laue group of this twin" in caplog.text
