"""The data set, and the images, that were spoiled are found."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


class TestComputeDeltaCchalf(PluginContract):
    slot = "program"
    name = "compute_delta_cchalf"


def scaled_sets(n, seed):
    sets = incomplete_data_sets("P 4 2 2", CELL, n, seed, d_min=4.0, share=0.4)
    table = sets.table.view()
    rng = np.random.default_rng(seed)
    count = len(table)
    table["inverse_scale_factor"] = np.full(count, 2.0)
    table["intensity.scale.value"] = 2.0 * sets.table["intensity.sum.value"] / _scales(sets)[table["id"]]
    table["intensity.scale.variance"] = table["intensity.sum.variance"]
    table["flags"] = table["flags"] | np.uint64(Flag.SCALED)
    image = rng.uniform(0, 10, count)
    table["xyzobs.px.value"] = np.column_stack([image, image, image])
    return sets.experiments, table


def _scales(sets):
    lookup = {tuple(h): v for h, v in zip(sets.hkl.tolist(), sets.intensity, strict=True)}
    from spindle.symmetry import asu_indices

    asu = asu_indices(sets.table["miller_index"], sets.group)[0].tolist()
    expected = np.array([lookup[tuple(h)] for h in asu]) * np.exp(-15.0 / sets.table["d"] ** 2)
    ids, value = sets.table["id"], sets.table["intensity.sum.value"]
    return np.array([value[ids == i].sum() / expected[ids == i].sum() for i in range(len(sets.experiments))])


def spoil(table, rows, seed=0):
    value = np.array(table["intensity.scale.value"])
    value[rows] = np.random.default_rng(seed).permutation(value[rows])
    table["intensity.scale.value"] = value


@pytest.fixture
def sets():
    return scaled_sets(12, 1)


def test_the_spoiled_set_is_removed(sets, tmp_path):
    experiments, table = sets
    spoil(table, np.flatnonzero(table["id"] == 5))
    result = spindle.run("compute_delta_cchalf", experiments, table, stdcutoff=2.5)
    assert result.summary["removed"] == ["5"]
    assert [e.identifier for e in result.experiments] == [f"set-{i}" for i in range(12) if i != 5]
    assert set(np.unique(result.reflections["id"])) == set(range(11))
    for name, write in result.files.items():
        write(tmp_path / name)
    worst = (tmp_path / "delta_cchalf.dat").read_text().splitlines()[0].split()
    assert worst[0] == "5" and float(worst[1]) < 0


def test_images_go_from_the_ends_only(sets):
    experiments, table = sets
    image = np.floor(table["xyzobs.px.value"][:, 2]) + 1
    spoil(table, np.flatnonzero((table["id"] == 2) & (image > 8)))
    spoil(table, np.flatnonzero((table["id"] == 7) & (image > 4) & (image <= 6)))
    result = spindle.run("compute_delta_cchalf", experiments, table, mode="image_group", group_size=2, stdcutoff=3)
    assert result.summary["removed"] == ["2:9:10"]
    assert len(result.experiments) == 12
    left = result.reflections
    assert not np.any((left["id"] == 2) & (left["xyzobs.px.value"][:, 2] >= 8))
    verdicts = {row[0]: row[2] for row in result.tables[0].rows}
    assert verdicts["7:5:6"] == "low, but not at an end"


def test_limits_leave_reflections_out(sets):
    experiments, table = sets
    whole = spindle.run("compute_delta_cchalf", experiments, table).summary
    part = spindle.run("compute_delta_cchalf", experiments, table, dmin=6.0).summary
    assert whole["n_removed"] == 0 and whole["cc_half"] != part["cc_half"]


def test_what_cannot_be_judged_is_refused(sets):
    experiments, table = sets
    one = table.select(table["id"] == 0)
    with pytest.raises(UserError, match="mode=image_group"):
        spindle.run("compute_delta_cchalf", Experiments(experiments[:1]), one)
    with pytest.raises(UserError, match="within dmin"):
        spindle.run("compute_delta_cchalf", experiments, table, dmax=1.0)
    with pytest.raises(UserError, match=r"intensity\.scale\.value"):
        spindle.run("compute_delta_cchalf", experiments, table.without("intensity.scale.value"))
