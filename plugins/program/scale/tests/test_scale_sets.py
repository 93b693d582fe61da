"""The scale program on several data sets."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.testing.scaling import simulated_scan


def two_sets(b: float = 3.0):
    first, table_1, _ = simulated_scan(n_unique=600, multiplicity=6, n_images=30)
    second, table_2, _ = simulated_scan(
        n_unique=600, multiplicity=6, n_images=30, scale=lambda z, d: 0.5 * np.exp(-b / (2 * d**2))
    )
    return Experiments([first, second]), [table_1, table_2]


def test_kb_finds_the_relative_scale_and_b_of_two_sets() -> None:
    experiments, tables = two_sets()
    result = spindle.run("scale", experiments, tables, model="KB")
    k = [e.scaling_model["scale"]["parameters"][0] for e in result.experiments]
    b = [e.scaling_model["decay"]["parameters"][0] for e in result.experiments]
    assert k[1] / k[0] == pytest.approx(0.5, rel=0.02)
    assert b[1] - b[0] == pytest.approx(-3.0, abs=0.3)


def test_order_of_data_sets_does_not_matter() -> None:
    experiments, tables = two_sets()
    a = spindle.run("scale", experiments, tables, model="KB")
    b = spindle.run("scale", Experiments([experiments[1], experiments[0]]), tables[::-1], model="KB")
    for k in range(2):
        x, y = a.experiments[k].scaling_model, b.experiments[1 - k].scaling_model
        assert x["scale"]["parameters"][0] == pytest.approx(y["scale"]["parameters"][0], rel=1e-3)


def test_each_data_set_may_have_an_error_model_of_its_own() -> None:
    """The sigmas of one of three sets are half of what they should be; order and grouping do not matter."""
    experiments, tables = two_sets()
    third, table, _ = simulated_scan(n_unique=600, multiplicity=6, n_images=30)
    table["intensity.sum.variance"] = table["intensity.sum.variance"] / 4.0
    if "intensity.prf.variance" in table:
        table["intensity.prf.variance"] = table["intensity.prf.variance"] / 4.0
    experiments, tables = Experiments([experiments[0], third, experiments[1]]), [tables[0], table, tables[1]]
    options = {"model": "KB", "weighting.error_model.grouping": "individual"}
    alone = spindle.run("scale", experiments, tables, **options)
    a = [e.scaling_model["configuration_parameters"]["error_model_parameters"][0] for e in alone.experiments]
    assert a[1] / a[0] == pytest.approx(2.0, rel=0.1) and a[2] / a[0] == pytest.approx(1.0, rel=0.1)
    options = {"model": "KB", "weighting.error_model.grouping": "grouped"}
    groups = {"weighting.error_model.error_model_group": [[0, 2]]}
    joint = spindle.run("scale", experiments, tables, **options, **groups)
    b = [e.scaling_model["configuration_parameters"]["error_model_parameters"][0] for e in joint.experiments]
    assert b[0] == b[2] and b[1] / b[0] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("groups", "says"), [([[0, 2]], "data set 2 is not there"), ([[0], [1, 0]], "0 stands in it twice")]
)
def test_groups_of_error_models_that_cannot_be_are_refused(groups, says) -> None:
    experiments, tables = two_sets()
    options = {"weighting.error_model.grouping": "grouped", "weighting.error_model.error_model_group": groups}
    with pytest.raises(ParameterError, match=says):
        spindle.run("scale", experiments, tables, model="KB", **options)


def test_tables_are_told_by_their_identifiers() -> None:
    experiments, tables = two_sets()
    a = spindle.run("scale", experiments, tables, model="KB")
    b = spindle.run("scale", experiments, tables[::-1], model="KB")
    x, y = a.experiments[1].scaling_model, b.experiments[1].scaling_model
    assert x["scale"]["parameters"][0] == pytest.approx(y["scale"]["parameters"][0], rel=1e-3)


def test_data_sets_can_be_left_out() -> None:
    experiments, tables = two_sets()
    result = spindle.run("scale", experiments, tables, exclude_datasets=[0])
    assert [e.identifier for e in result.experiments] == [experiments[1].identifier]
    assert set(result.reflections["id"]) == {0}


@pytest.mark.parametrize("mode", ["dataset", "image_group"])
def test_a_data_set_of_noise_is_filtered_out(mode, tmp_path) -> None:
    """As a whole, or with all of its images, after which it is no data set any more."""
    parts = []
    for seed in range(6):
        experiment, table, truth = simulated_scan(n_unique=500, multiplicity=5, n_images=20)
        rng = np.random.default_rng(seed)
        sigma = np.sqrt(table["intensity.prf.variance"])
        value = truth["intensity"] + sigma * rng.normal(size=len(table))
        if seed == 2:
            value = rng.permutation(value)
        for name in ("intensity.prf.value", "intensity.sum.value"):
            table[name] = value
        parts.append((experiment, table))
    result = spindle.run(
        "scale", Experiments(p[0] for p in parts), [p[1] for p in parts], model="KB", error_model=None,
        outlier_zmax=1000, emax=None,
        **{"filtering.method": "deltacchalf", "stdcutoff": 1.2, "max_percent_removed": 40, "max_cycles": 1, "mode": mode},
    )  # fmt: skip
    kept = [e.identifier for e in result.experiments]
    assert kept == [p[0].identifier for k, p in enumerate(parts) if k != 2]
    assert set(np.unique(result.reflections["id"])) == set(range(5))
    result.files["scale_and_filter_results.json"](tmp_path / "r.json")
    record = json.loads((tmp_path / "r.json").read_text())
    first = record["cycles"][0]
    if mode == "dataset":
        assert first["removed_datasets"] == [parts[2][0].identifier]
    else:
        assert first["removed_ranges"] == [[2, 1, 10], [2, 11, 20]]
    assert len(first["removed_delta_cc_half"]) == (1 if mode == "dataset" else 2)
    assert first["merging_stats"]["overall"]["cc_half"] > record["initial_merging_stats"]["overall"]["cc_half"]


def test_data_sets_that_share_nothing_keep_sensible_scales() -> None:
    """Two data sets with no reflection in common, and hardly an equivalent: weak restraints hold K and B."""
    parts = [simulated_scan(n_unique=40, multiplicity=1, n_images=2, seed=seed) for seed in (1, 2)]
    result = spindle.run("scale", Experiments(p[0] for p in parts), [p[1] for p in parts], model="KB")
    for experiment in result.experiments:
        model = experiment.scaling_model
        assert 0.2 < model["scale"]["parameters"][0] < 5
        assert abs(model["decay"]["parameters"][0]) < 10
