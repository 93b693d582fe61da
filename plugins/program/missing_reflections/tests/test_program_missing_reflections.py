"""Regions that were taken out are found, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.symmetry import asu_indices
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


class TestMissingReflections(PluginContract):
    slot = "program"
    name = "missing_reflections"


@pytest.fixture(scope="module")
def whole():
    return incomplete_data_sets("P 4 2 2", CELL, 1, 1, d_min=4.0, share=1.0)


def without(whole, chosen):
    asu, _ = asu_indices(whole.table["miller_index"], whole.group)
    out = np.zeros(len(asu), bool)
    for h in chosen:
        out |= (asu == np.abs(h)).all(axis=1)
    return whole.table.select(~out)


def test_nothing_is_missing_of_complete_data(whole):
    summary = spindle.run("missing_reflections", whole.experiments, whole.table, d_max=30.0).summary
    assert summary["n_missing"] == 0 and summary["completeness"] == 1.0 and summary["sizes"] == []


def test_regions_are_told_apart(whole, tmp_path):
    """A row of four, a pair over an edge, and one alone; the limits stay since the outermost reflections are there."""
    row, pair, single = [(5, 2, 2), (6, 2, 2), (7, 2, 2), (8, 2, 2)], [(4, 1, 6), (5, 1, 7)], [(9, 6, 3)]
    table = without(whole, [*row, *pair, *single])
    result = spindle.run("missing_reflections", whole.experiments, table, d_max=30, **{"output.json": "missing.json"})
    assert result.summary["sizes"] == [4, 2] and result.summary["n_missing"] == 7
    result.files["missing.json"](tmp_path / "missing.json")
    regions = json.loads((tmp_path / "missing.json").read_text())["regions"]
    assert {tuple(h) for h in regions[0]} == set(row) and {tuple(h) for h in regions[1]} == set(pair)
    largest = spindle.run("missing_reflections", whole.experiments, table, d_max=30, min_component_size=3).summary
    assert largest["sizes"] == [4]


def test_a_wedge_is_one_region():
    """A tenth of the reciprocal space of P 1."""
    sets = incomplete_data_sets("P 1", (31.0, 35.0, 40.0, 85.0, 95.0, 100.0), 1, 2, d_min=4.0, share=0.8)
    summary = spindle.run("missing_reflections", sets.experiments, sets.table, d_min=4.01, d_max=30).summary
    assert summary["sizes"][0] > 0.95 * summary["n_missing"]


def test_reflections_near_the_beam_are_missing_by_default(whole):
    summary = spindle.run("missing_reflections", whole.experiments, whole.table).summary
    assert 0 < summary["n_missing"] < 6  # simulated to 30 A


def test_limits_restrict_what_is_asked_for(whole):
    table = without(whole, [(5, 2, 2), (6, 2, 2)])
    summary = spindle.run("missing_reflections", whole.experiments, table, d_max=7.0).summary
    assert summary["n_missing"] == 0


def test_what_makes_no_sense_is_refused(whole):
    with pytest.raises(ParameterError, match="smaller than d_max"):
        spindle.run("missing_reflections", whole.experiments, whole.table, d_min=9, d_max=5)
    bare = Experiments([replace(whole.experiments[0], crystal=None)])
    with pytest.raises(UserError, match="no crystal"):
        spindle.run("missing_reflections", bare, whole.table)
