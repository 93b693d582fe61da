"""Error models of scaled data, fitted again."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, UserError
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing import PluginContract
from spindle.testing.scaling import simulated_scan
from spindle_lib_noise.signal import expected_signal


class TestRefineErrorModel(PluginContract):
    slot = "program"
    name = "refine_error_model"


@pytest.fixture(scope="module")
def scaled():
    experiment, table, _ = simulated_scan(n_unique=800, multiplicity=6, a=1.3, b=0.04)
    # summation is another, noisier measurement, so that the intensities are a mixture
    rng = np.random.default_rng(1)
    table["intensity.sum.value"] = table["intensity.prf.value"] + rng.normal(size=len(table)) * 10.0
    table["intensity.sum.variance"] = table["intensity.prf.variance"] + 100.0
    return spindle.run("scale", Experiments([experiment]), table)


def test_it_gives_what_scale_gave(scaled):
    result = spindle.run("refine_error_model", scaled.experiments, scaled.reflections)
    (found,), (before,) = result.summary["error_models"], scaled.summary["error_models"]
    assert found == pytest.approx(before, rel=0.02)
    assert found[0] == pytest.approx(1.3, rel=0.05)
    assert found[1] == pytest.approx(0.04, rel=0.1)
    good = scaled.reflections.has_flags(Flag.SCALED)
    ratio = result.reflections["intensity.scale.variance"][good] / scaled.reflections["intensity.scale.variance"][good]
    np.testing.assert_allclose(ratio, 1.0, rtol=0.05)
    assert result.summary["median_change_of_sigma"] == pytest.approx(1.0, abs=0.02)
    setting = result.experiments[0].scaling_model["configuration_parameters"]
    assert setting["error_model_parameters"] == found


def test_expected_counts_make_room_for_those_of_equivalents_as_in_scale():
    """Poisson counts, 10 on a background of 3: with the counts of integration in the variances a would be 0.5."""
    experiment, table, truth = simulated_scan(n_unique=1500, multiplicity=6)
    rng, true = np.random.default_rng(3), truth["intensity"] * 10.0 / truth["intensity"].mean()
    value, mean = rng.poisson(true + 3.0) - 3.0, np.full(len(true), 10.0)
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"] = value
        table[f"intensity.{kind}.variance"] = expected_signal(value, np.full(len(true), 3.0), mean) + 3.0
    table["expected_counts"] = mean
    scaled = spindle.run("scale", Experiments([experiment]), table)
    result = spindle.run("refine_error_model", scaled.experiments, scaled.reflections)
    (found,), (before,) = result.summary["error_models"], scaled.summary["error_models"]
    assert found[0] == pytest.approx(1.0, abs=0.04)
    assert found == pytest.approx(before, abs=0.02)
    assert result.summary["median_change_of_sigma"] == pytest.approx(1.0, abs=0.02)


def test_options_of_the_error_model_act(scaled):
    fixed = spindle.run("refine_error_model", scaled.experiments, scaled.reflections, basic__a=1.0, basic__b=0.1)
    assert fixed.summary["error_models"] == [[1.0, 0.1]]
    good = scaled.reflections.has_flags(Flag.SCALED)
    ratio = fixed.reflections["intensity.scale.value"][good] / np.sqrt(
        fixed.reflections["intensity.scale.variance"][good]
    )
    assert 5.0 < ratio.max() < 14.0, "I/sigma is at most about 1 / b"
    others = ~good
    np.testing.assert_array_equal(
        fixed.reflections["intensity.scale.variance"][others], scaled.reflections["intensity.scale.variance"][others]
    )
    individual = spindle.run(
        "refine_error_model", scaled.experiments, scaled.reflections, basic__minimisation="individual"
    )
    assert individual.summary["error_models"][0][1] == pytest.approx(0.04, rel=0.3)


def test_each_data_set_may_have_its_own(scaled):
    table = scaled.reflections.select(np.arange(len(scaled.reflections)))
    table["id"] = np.where(table["xyzcal.px"][:, 2] < 45, 0, 1)
    experiments = Experiments([scaled.experiments[0], replace(scaled.experiments[0], identifier="other")])
    result = spindle.run("refine_error_model", experiments, table, grouping="individual")
    assert len(result.summary["error_models"]) == 2
    grouped = spindle.run("refine_error_model", experiments, table, grouping="grouped", error_model_group=[[0, 1]])
    assert len(grouped.summary["error_models"]) == 1
    with pytest.raises(UserError, match="names a data set twice"):
        spindle.run("refine_error_model", experiments, table, grouping="grouped", error_model_group=[[0, 1], [1]])


def test_friedel_mates_that_differ_are_kept_apart():
    experiment, table, _ = simulated_scan(n_unique=1200, multiplicity=8, anomalous=0.1)
    scaled = spindle.run("scale", Experiments([experiment]), table)
    found = spindle.run("refine_error_model", scaled.experiments, scaled.reflections).summary["error_models"][0][1]
    together = spindle.run("refine_error_model", scaled.experiments, scaled.reflections, anomalous=False)
    assert found < 0.015 < 0.03 < together.summary["error_models"][0][1]


def test_what_was_not_scaled_is_refused(scaled):
    experiment, table, _ = simulated_scan(n_unique=50)
    with pytest.raises(ModelError, match="not scaled"):
        spindle.run("refine_error_model", Experiments([experiment]), table)
    with pytest.raises(ModelError, match="no reflections in the file"):
        spindle.run("refine_error_model", Experiments([experiment]), table.select(np.zeros(0, int)))
    names = [n for n in scaled.reflections if n.startswith(("intensity.prf", "intensity.sum"))]
    with pytest.raises(ModelError, match="no intensities of integration"):
        spindle.run("refine_error_model", scaled.experiments, scaled.reflections.without(*names))
    with pytest.raises(UserError, match="one experiment file and one reflection file"):
        spindle.run("refine_error_model", scaled.experiments)


def test_its_numbers_are_written_on_demand(scaled, tmp_path):
    result = spindle.run("refine_error_model", scaled.experiments, scaled.reflections, output__json="errors.json")
    result.files["errors.json"](tmp_path / "errors.json")
    (found,) = json.loads((tmp_path / "errors.json").read_text())
    assert found["parameters"] == result.summary["error_models"][0] and found["data_sets"] == [0]
