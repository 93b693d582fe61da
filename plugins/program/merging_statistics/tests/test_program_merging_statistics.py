"""The numbers are those that follow from the definitions, and those of gemmi."""

from __future__ import annotations

import json

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


class TestMergingStatistics(PluginContract):
    slot = "program"
    name = "merging_statistics"


@pytest.fixture(scope="module")
def sets():
    found = incomplete_data_sets("P 4 2 2", CELL, 6, 2, d_min=3.5, share=0.4, noise=0.1)
    table = found.table.view()
    table["intensity.scale.value"], table["intensity.scale.variance"] = (
        table["intensity.sum.value"],
        table["intensity.sum.variance"],
    )
    table["inverse_scale_factor"] = np.ones(len(table))
    table["flags"] = table["flags"] | np.uint64(Flag.SCALED)
    return found.experiments, table


def numbers(data, folder, **params):
    result = spindle.run("merging_statistics", *data, **{"output.json": "s.json"}, **params)
    result.files["s.json"](folder / "s.json")
    return json.loads((folder / "s.json").read_text()), result


def unmerged_mtz(table, path):
    """By gemmi: indices as they are, in P 4 2 2."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 4 2 2"), gemmi.UnitCell(*CELL)
    mtz.add_dataset("x")
    for name, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J"), ("SIGI", "Q")):
        mtz.add_column(name, kind)
    hkl = np.array(table["miller_index"])
    columns = [
        np.ones(len(hkl)),
        1 + table["id"] * 100.0,
        table["intensity.scale.value"],
        np.sqrt(table["intensity.scale.variance"]),
    ]
    mtz.set_data(np.column_stack([hkl, *columns]).astype(np.float32))
    mtz.switch_to_asu_hkl()
    for k in sorted({int(v) for v in columns[1]}):
        batch = gemmi.Mtz.Batch()
        batch.number = k
        mtz.batches.append(batch)
    mtz.write_to_file(str(path))


def test_r_factors_are_those_of_gemmi(sets, tmp_path):
    unmerged_mtz(sets[1], tmp_path / "x.mtz")
    of_file = spindle.run("merging_statistics", files=[tmp_path / "x.mtz"]).summary
    of_table, _ = numbers(sets, tmp_path)
    theirs = gemmi.Intensities()
    theirs.import_mtz(gemmi.read_mtz_file(str(tmp_path / "x.mtz")), gemmi.DataType.Unmerged)
    theirs.prepare_for_merging(gemmi.DataType.Mean)
    (stats,) = theirs.calculate_merging_stats(None, "X")  # sums of intensities below, not of means
    for name in ("r_merge", "r_meas", "r_pim"):
        assert getattr(stats, name)() == pytest.approx(of_file[name], rel=1e-5)
        assert of_file[name] == pytest.approx(of_table["overall"][name], rel=1e-4)
    assert of_file["n_observations"] == len(sets[1]) == of_table["overall"]["n_observations"]


def test_shells_hold_what_there_is(sets, tmp_path):
    found, result = numbers(sets, tmp_path, n_bins=8)
    assert len(found["shells"]) == 8
    assert sum(s["n_observations"] for s in found["shells"]) == found["overall"]["n_observations"] == len(sets[1])
    assert sum(s["n_unique"] for s in found["shells"]) == found["overall"]["n_unique"]
    equal, _ = numbers(sets, tmp_path, n_bins=8, binning_method="counting_sorted")
    counts = [s["n_unique"] for s in equal["shells"]]
    assert sum(counts) == found["overall"]["n_unique"] and max(counts) - min(counts) <= 2
    assert [t.key for t in result.tables] == ["merging_statistics_by_shell", "merging_statistics_summary"]


def test_limits_and_groups_are_heeded(sets, tmp_path):
    found, _ = numbers(sets, tmp_path, d_min=5.0, d_max=20.0)
    assert found["overall"]["d_min"] >= 5.0 and found["overall"]["d_max"] <= 20.0
    lower, _ = numbers(sets, tmp_path, space_group="P 4")
    whole, _ = numbers(sets, tmp_path)
    assert lower["overall"]["n_unique"] > 1.2 * whole["overall"]["n_unique"]
    larger, _ = numbers(sets, tmp_path, unit_cell=tuple(1.1 * v if k < 3 else v for k, v in enumerate(CELL)))
    assert larger["overall"]["d_min"] == pytest.approx(1.1 * whole["overall"]["d_min"], rel=1e-3)


def test_batches_are_chosen(sets, tmp_path):
    unmerged_mtz(sets[1], tmp_path / "x.mtz")
    found = spindle.run("merging_statistics", files=[tmp_path / "x.mtz"], batch_range=(100, 250)).summary
    assert found["n_observations"] == np.count_nonzero(np.isin(sets[1]["id"], [1, 2]))
    with pytest.raises(ParameterError, match="batches 1 to 501"):
        spindle.run("merging_statistics", files=[tmp_path / "x.mtz"], batch_range=(1000, 2000))


def test_one_observation_has_no_r_factors(sets, tmp_path):
    experiments, table = sets
    found, _ = numbers((experiments, table.select(np.array([5]))), tmp_path, n_bins=1)
    assert found["overall"]["n_observations"] == 1 and found["overall"]["r_merge"] is None


def test_what_cannot_be_read_is_refused(sets, tmp_path):
    with pytest.raises(UserError, match="nothing lies within"):
        spindle.run("merging_statistics", *sets, d_min=100.0)
    with pytest.raises(UserError, match="spindle merging_statistics scaled"):
        spindle.run("merging_statistics")
    with pytest.raises(UserError, match="no such file"):
        spindle.run("merging_statistics", files=[tmp_path / "nothing.mtz"])
    (tmp_path / "text.mtz").write_text("no MTZ")
    with pytest.raises(UserError, match="not an MTZ file"):
        spindle.run("merging_statistics", files=[tmp_path / "text.mtz"])
    with pytest.raises(ParameterError, match="names columns of an MTZ file"):
        spindle.run("merging_statistics", *sets, labels=("I",))
    with pytest.raises(UserError, match="no reflection with usable"):
        spindle.run("merging_statistics", Experiments(sets[0]), sets[1].select(np.zeros(len(sets[1]), dtype=bool)))


def test_damaged_data_are_named():
    """Intensities at random: no agreement."""
    found = incomplete_data_sets("P 4 2 2", CELL, 4, 2, d_min=5.0, share=0.5)
    table: ReflectionTable = found.table.view()
    rng = np.random.default_rng(0)
    table["intensity.sum.value"] = rng.exponential(100.0, len(table))
    result = spindle.run("merging_statistics", found.experiments, table)
    assert "problem" in result.summary and "do not use these data" in result.next_step


def test_of_a_single_reflection_nothing_can_be_told(sets):
    experiments, table = sets
    result = spindle.run("merging_statistics", experiments, table.select(np.array([0])))
    assert "nothing can be told of so few: 1 unique reflection;" in result.next_step
