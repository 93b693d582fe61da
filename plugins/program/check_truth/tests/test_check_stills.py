"""Stills against the truth: each crystal with that of its image."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing.simulated import simulate_sweep

N = 4


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return simulate_sweep(
        tmp_path_factory.mktemp("stills"), scan__stills=True, scan__n_images=N, crystal__mosaic_spread=0.15,
        structure__mean_counts=200.0, structure__d_min=2.4, run__seed=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def processed(truth):
    """What a perfect program would make of the images."""
    t = truth.arrays
    experiments = spindle.run("import", files=truth.images).experiments
    counts = t["n_mean_0"] * t["frame_scale"][t["image_0"]]
    rows = np.flatnonzero(counts > 5)
    table = ReflectionTable(
        {
            "id": t["image_0"][rows].astype(np.int32),
            "miller_index": t["hkl_0"][rows].astype(np.int32),
            "panel": np.zeros(len(rows), np.uint64),
            "xyzcal.px": np.column_stack([t["xy_pred_0"][rows], np.zeros(len(rows))]),
            "intensity.sum.value": np.random.default_rng(1).poisson(counts[rows]).astype(float),
            "intensity.sum.variance": counts[rows],
            "partiality": np.exp(-0.5 * (t["turn_0"] / t["rocking_0"])[rows] ** 2),
            "flags": np.full(len(rows), int(Flag.INTEGRATED_SUM), np.uint64),
        }
    )
    return experiments, table


def check(truth, experiments, table):
    return spindle.run("check_truth", experiments, table, files=[truth.folder])


def test_right_stills_agree(truth, processed):
    result = check(truth, *processed)
    assert result.summary["Crystals found"] == N and result.summary["Crystals that are none of them"] == 0
    assert result.summary["found of these (%)"] > 85
    assert result.summary["Partiality - true (mean, rms)"] == "0.0000 0.0000"
    assert result.summary["sum"]["rms_z"] == pytest.approx(1, abs=0.1)
    assert np.allclose(result.summary["sum"]["ratio"], 1, atol=0.1)
    assert [one["image"] for one in result.summary["crystals"]] == [1, 2, 3, 4]


def test_other_orders_and_fewer_crystals_are_compared_as_well(truth, processed):
    experiments, table = processed
    order = [2, 0, 3]
    place = np.full(N, -1, np.int32)
    place[order] = np.arange(3, dtype=np.int32)
    some = table.select(place[table["id"]] >= 0)
    some["id"] = place[some["id"]]
    result = check(truth, Experiments(experiments[i] for i in order), some)
    assert [one["image"] for one in result.summary["crystals"]] == [3, 1, 4]
    assert result.summary["Crystals simulated"] == N and result.summary["Crystals found"] == 3


def test_a_crystal_of_another_image_is_a_stranger(truth, processed):
    experiments, table = processed
    table = table.view()
    moved = table["xyzcal.px"].copy()
    moved[table["id"] == 1] += 37.0
    table["xyzcal.px"] = moved
    result = check(truth, experiments, table)
    assert result.summary["Crystals found"] == N - result.summary["Crystals that are none of them"] <= N
    wrong = processed[1].view()
    wrong["intensity.sum.value"] = 1.3 * wrong["intensity.sum.value"]
    assert check(truth, experiments, wrong).summary["sum"]["scale"] == pytest.approx(1.3, abs=0.05)


def test_stills_need_their_experiments(truth, processed):
    with pytest.raises(UserError, match=r"integrated\.expt"):
        check(truth, None, processed[1])
