"""Limits of data whose signal falls off in a known way."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from spindle_program_estimate_resolution.limits import shell_edges

import spindle
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.models import Crystal, Experiments
from spindle.symmetry import unique_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.scaling import scan_experiment

CELL = (40.0, 50.0, 60.0, 90.0, 90.0, 90.0)
MULTIPLICITY = 6


class TestEstimateResolution(PluginContract):
    slot = "program"
    name = "estimate_resolution"


def observations(d_min=2.0, b=60.0, noise=0.8, seed=0):
    """Acentric intensities of mean 100 exp(-B / (2 d^2)) with the same error at every resolution."""
    rng = np.random.default_rng(seed)
    hkl = unique_indices(CELL, "P 21 21 21", d_min)
    d = np.asarray(gemmi.UnitCell(*CELL).calculate_d_array(hkl))
    true = 100 * rng.exponential(size=len(hkl)) * np.exp(-b / (2 * d**2))
    hkl, d, true = (np.repeat(v, MULTIPLICITY, axis=0) for v in (hkl, d, true))
    return hkl, d, true + noise * rng.normal(size=len(d)), np.full(len(d), noise**2)


def scaled(**options):
    hkl, d, value, variance = observations(**options)
    n = len(d)
    experiment = scan_experiment(90)
    experiment = type(experiment)(**{
        **{name: getattr(experiment, name) for name in ("beam", "detector", "goniometer", "scan", "identifier")},
        "crystal": Crystal.from_cell(CELL, np.eye(3), "P 21 21 21"),
    })  # fmt: skip
    table = ReflectionTable({
        "miller_index": hkl, "id": np.zeros(n, int), "d": d, "flags": np.full(n, int(Flag.SCALED | Flag.INTEGRATED_SUM)),
        "intensity.scale.value": value, "intensity.scale.variance": variance, "inverse_scale_factor": np.ones(n),
        "partiality": np.ones(n), "partial_id": np.arange(n),
        "xyzcal.px": np.column_stack([np.zeros((n, 2)), np.arange(n) % 90 + 0.5]),
    })  # fmt: skip
    return Experiments([experiment]), table


def where(ratio, b=60.0, noise=0.8):
    """Resolution at which the true mean intensity is a ratio of the error of observations."""
    return float(np.sqrt(b / (2 * np.log(100 / (ratio * noise)))))


@pytest.fixture(scope="module")
def data():
    return scaled()


def test_limits_are_where_signal_and_noise_have_the_ratio_asked_for(data):
    result = spindle.run(
        "estimate_resolution", *data, resolution__isigma=1.0, resolution__misigma=2.0, resolution__i_mean_over_sigma_mean=2.0,
        resolution__completeness=0.9,
    )  # fmt: skip
    found = result.summary
    assert found["isigma"] == pytest.approx(where(1.0), rel=0.01)
    assert found["misigma"] == pytest.approx(where(2.0 / np.sqrt(MULTIPLICITY)), rel=0.01)
    assert found["i_mean_over_sigma_mean"] == pytest.approx(where(2.0 / np.sqrt(MULTIPLICITY)), rel=0.01)
    assert found["completeness"] == pytest.approx(2.0, abs=0.01), "complete data end where they end"
    # CC1/2 of intensities of variance m^2 and halves of error s: m^2 / (m^2 + 2 s^2 / n) = 0.3
    ratio = np.sqrt(0.3 / 0.7 * 2 / MULTIPLICITY)
    assert found["cc_half"] == pytest.approx(where(ratio), rel=0.03)
    assert "d_min=" in result.next_step


def test_sigma_tau_and_volumes_and_polynomials_agree(data):
    usual = spindle.run("estimate_resolution", *data).summary["cc_half"]
    for options in (
        {"cc_half_method": "sigma_tau"}, {"binning_method": "volume", "nbins": 30}, {"cc_half_fit": "polynomial"},
        {"reflections_per_bin": 60}, {"emax": None},
    ):  # fmt: skip
        given = {f"resolution__{k}": v for k, v in options.items()}
        assert spindle.run("estimate_resolution", *data, **given).summary["cc_half"] == pytest.approx(
            usual, rel=0.04
        ), options


def test_rmerge_and_a_reference(data, tmp_path):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("reference")
    mtz.add_column("IMEAN", "J")
    clean, _, value, _ = observations(noise=1e-6)
    mtz.set_data(np.column_stack([clean[::MULTIPLICITY], value[::MULTIPLICITY]]).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "reference.mtz"))
    result = spindle.run(
        "estimate_resolution", *data, resolution__reference=str(tmp_path / "reference.mtz"), resolution__rmerge=0.5,
        resolution__cc_ref=0.5,
    )  # fmt: skip
    # correlation with the truth: m / sqrt(m^2 + s^2 / n) = 0.5
    assert result.summary["cc_ref"] == pytest.approx(where(np.sqrt(1 / 3 / MULTIPLICITY)), rel=0.04)
    good = spindle.run("estimate_resolution", *scaled(noise=1e-3), resolution__rmerge=0.5)
    assert good.summary["rmerge"] == pytest.approx(2.0, abs=0.01)
    assert result.summary["rmerge"] > 2.2


def test_an_unmerged_mtz_gives_what_its_table_gives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiments, table = scaled(d_min=2.6)
    hkl, _, value, variance = observations(d_min=2.6)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 21 21 21"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("unmerged")
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q"), ("IPR", "J"), ("SIGIPR", "Q")):
        mtz.add_column(label, kind)
    batch, sigma = np.arange(len(hkl)) % 90 + 1, np.sqrt(variance)
    columns = [hkl, np.ones(len(hkl)), batch, value, sigma, 2 * value, 9 * sigma]
    mtz.set_data(np.column_stack(columns).astype(np.float32))
    mtz.write_to_file("unmerged.mtz")
    with pytest.raises(UserError, match="several columns of intensities and sigmas"):
        spindle.run("estimate_resolution", files=[Path("unmerged.mtz")])
    of_file = spindle.run("estimate_resolution", files=[Path("unmerged.mtz")], resolution__labels=("I", "SIGI")).summary
    of_table = spindle.run("estimate_resolution", experiments, table).summary
    assert of_file["cc_half"] == pytest.approx(of_table["cc_half"], rel=1e-3)
    half = {"resolution__batch_range": (1, 45)}
    of_file = spindle.run(
        "estimate_resolution", files=[Path("unmerged.mtz")], resolution__labels=("I",), **half
    ).summary
    assert of_file["cc_half"] == pytest.approx(
        spindle.run("estimate_resolution", experiments, table, **half).summary["cc_half"], rel=1e-3
    )
    with pytest.raises(ParameterError, match="no observation has such a batch"):
        spindle.run("estimate_resolution", experiments, table, resolution__batch_range=(900, 901))
    with pytest.raises(ParameterError, match="has I,SIGI; IPR,SIGIPR"):
        spindle.run("estimate_resolution", files=[Path("unmerged.mtz")], resolution__labels=("F",))
    with pytest.raises(FileFormatError, match="no such file"):
        spindle.run("estimate_resolution", experiments, table, resolution__reference="nothing.mtz")


def test_pages_and_values_are_written(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = spindle.run("estimate_resolution", *data, output__json="values.json")
    for name, write in result.files.items():
        write(tmp_path / name)
    values = json.loads((tmp_path / "values.json").read_text())
    assert len(values["cc_half"]["x"]) == len(values["cc_half"]["y"]) == len(values["cc_half"]["fit"])
    assert "d_min = " in (tmp_path / "spindle.estimate_resolution.html").read_text()


def test_too_little_is_refused_in_words(data):
    experiments, table = data
    with pytest.raises(UserError, match="too few for two shells"):
        spindle.run("estimate_resolution", experiments, table.select(np.arange(60)))
    with pytest.raises(UserError, match="one experiment file and one reflection file"):
        spindle.run("estimate_resolution", experiments)
    with pytest.raises(UserError, match="every metric is switched off"):
        spindle.run("estimate_resolution", *data, resolution__cc_half=None)


def test_shells_hold_as_many_reflections_each():
    d = np.random.default_rng(1).uniform(2, 20, 1000)
    edges = shell_edges(d, 20, 10, "counting_sorted")
    assert len(edges) == 21
    assert np.histogram(d, edges[::-1])[0].tolist() == pytest.approx([50] * 20, abs=1)
    assert len(shell_edges(d, 100, 100, "counting_sorted")) == 11


@pytest.mark.parametrize(
    ("options", "better"),
    [
        ({"nbins": 20}, True), ({"binning_method": "volume"}, False), ({"cc_half_fit": "polynomial"}, True),
        ({"reflections_per_bin": 300}, None), ({"emax": 1.5}, False), ({"batch_range": (1, 45)}, False),
        ({"cc_half": 0.5}, False), ({"cc_half_method": "sigma_tau", "reflections_per_bin": 300}, None),
    ],
)  # fmt: skip
def test_each_parameter_changes_the_limit(data, options, better):
    usual = spindle.run("estimate_resolution", *data).summary["cc_half"]
    found = spindle.run("estimate_resolution", *data, **{f"resolution.{k}": v for k, v in options.items()})
    limit = found.summary["cc_half"]
    assert limit != usual
    assert better is None or (limit < usual) is better


def test_friedel_mates_that_differ_agree_when_they_are_kept_apart(data):
    experiments, table = data
    table = table.view()
    minus = np.arange(len(table)) % 2 == 1
    table["miller_index"] = np.where(minus[:, None], -table["miller_index"], table["miller_index"])
    change = np.random.default_rng(0).uniform(0.0, 2.0, len(table) // MULTIPLICITY).repeat(MULTIPLICITY)
    table["intensity.scale.value"] = table["intensity.scale.value"] * np.where(minus, change, 2 - change)
    for method in ("half_dataset", "sigma_tau"):
        limits = [
            spindle.run(
                "estimate_resolution", experiments, table, resolution__anomalous=apart, resolution__cc_half=0.9,
                resolution__misigma=2.0, resolution__cc_half_method=method,
            ).summary
            for apart in (False, True)
        ]  # fmt: skip
        assert limits[0]["cc_half"] is None or limits[1]["cc_half"] < limits[0]["cc_half"] - 0.05
        assert limits[1]["cc_half"] < 2.8
        assert limits[1]["misigma"] > limits[0]["misigma"], "each mate has half of the observations"


def test_a_space_group_changes_what_is_complete_and_a_level_what_is_critical(data, tmp_path):
    options = {"resolution.completeness": 0.9, "resolution.space_group": "P 1", "output.json": "values.json"}
    assert spindle.run("estimate_resolution", *data, **options).summary["completeness"] is None
    found = []
    for level in (0.1, 0.01, None):
        result = spindle.run(
            "estimate_resolution", *data, **options, **{"resolution.cc_half_significance_level": level}
        )
        result.files["values.json"](tmp_path / "values.json")
        found.append(json.loads((tmp_path / "values.json").read_text())["cc_half"].get("critical"))
    assert found[2] is None and all(a < b for a, b in zip(found[0], found[1], strict=True))
    with pytest.raises(ParameterError, match=r"cc_ref=0\.2 needs resolution\.reference="):
        spindle.run("estimate_resolution", *data, **{"resolution.cc_ref": 0.2})
