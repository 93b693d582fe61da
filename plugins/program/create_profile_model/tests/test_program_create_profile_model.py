"""Widths of simulated spots are found, those of a real set are DIALS's, and what cannot be done is refused."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.table import Flag
from spindle.testing import PluginContract, shared_data
from spindle.testing.profile import simulate_spots
from spindle.testing.simulated_spots import strong_spots


class TestCreateProfileModel(PluginContract):
    slot = "program"
    name = "create_profile_model"


@pytest.fixture(scope="module")
def data():
    spots = simulate_spots(mean=600.0, background=0.0, seed=5)
    table = strong_spots(spots)
    table["flags"] = np.full(len(table), int(Flag.INDEXED | Flag.STRONG), np.uint64)
    table["xyzobs.px.value"] = table["xyzcal.px"].copy()
    return spots, table


def run(data, table=None, **params):
    return spindle.run("create_profile_model", data[0].experiments, data[1] if table is None else table, **params)


def test_widths_are_those_of_the_spots(data):
    result = run(data)
    model = result.experiments[0].profile
    assert model["__id__"] == "gaussian_rs"
    assert model["sigma_b"] == pytest.approx(0.05, rel=0.06)
    assert model["sigma_m"] == pytest.approx(0.15, rel=0.06)
    assert result.summary["sigma_m"] == [pytest.approx(model["sigma_m"])]


@pytest.mark.parametrize("algorithm", ["basic", "extended"])
def test_widths_of_quartz_are_those_of_dials(algorithm):
    """DIALS 3.12.1: sigma_b 0.012437; sigma_m 0.461373 by the basic, 0.332043 by the extended algorithm."""
    folder = shared_data("dials_processed/quartz_processed")
    result = spindle.run(
        "create_profile_model", read_experiments(folder / "refined.expt"), read_reflections(folder / "refined.refl"),
        profile__gaussian_rs__widths="dials", profile__gaussian_rs__sigma_m_algorithm=algorithm,
    )  # fmt: skip
    model = result.experiments[0].profile
    assert model["sigma_b"] == pytest.approx(0.012437, abs=2e-6)
    assert model["sigma_m"] == pytest.approx({"basic": 0.461373, "extended": 0.332043}[algorithm], rel=2e-4)


def test_limits_choose_the_spots(data):
    d = data[1]["d"]
    few = run(data, prediction__d_min=float(np.quantile(d, 0.5)))
    assert few.experiments[0].profile["sigma_b"] != run(data).experiments[0].profile["sigma_b"]
    with pytest.raises(UserError, match="d_min, the high resolution limit, is the smaller"):
        run(data, prediction__d_min=4.0, prediction__d_max=3.0)


def test_background_is_taken_off(data):
    spots = simulate_spots(mean=600.0, background=3.0, seed=5)
    table = strong_spots(spots)
    for name in ("flags", "xyzobs.px.value"):
        table[name] = data[1][name][: len(table)]
    table["xyzobs.px.value"] = table["xyzcal.px"].copy()
    boxes = table["shoebox"]
    with pytest.raises(UserError, match=r"needs the column background\.mean"):
        run((spots, table), subtract_background=True)
    table["background.mean"] = np.zeros(len(table))
    same = [run((spots, table), subtract_background=b).experiments[0].profile for b in (False, True)]
    assert same[0] == same[1]
    before = boxes.data.copy()
    table["background.mean"] = np.full(len(table), 3.0)
    less = run((spots, table), subtract_background=True).experiments[0].profile
    assert less["sigma_b"] < same[0]["sigma_b"]
    np.testing.assert_array_equal(boxes.data, before)


def test_without_shoeboxes_a_model_keeps_its_widths(data):
    spots, table = data
    bare = table.without("shoebox")
    with pytest.raises(UserError, match="no shoeboxes"):
        run(data, bare)
    model = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.06, "sigma_m": 0.2}
    known = spots.experiments.replace(0, profile=model)
    result = spindle.run("create_profile_model", known, bare, profile__gaussian_rs__parameters__n_sigma=4)
    assert result.experiments[0].profile == {**model, "n_sigma": 4.0}


def test_what_is_missing_is_said(data):
    spots, table = data
    with pytest.raises(UserError, match="give experiments and their indexed reflections"):
        spindle.run("create_profile_model", spots.experiments)
    with pytest.raises(UserError, match="experiment 0 has no crystal; run spindle index"):
        spindle.run("create_profile_model", spots.experiments.replace(0, crystal=None), table)
    away = table.view()
    away["xyzobs.px.value"] = away["xyzcal.px"] + 100.0
    with pytest.raises(UserError, match="pixels from where the models"):
        run(data, away)
