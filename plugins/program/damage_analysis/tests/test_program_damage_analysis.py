"""Damage that was put in is found, and none is found where there is none."""

from __future__ import annotations

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments, Scan
from spindle.symmetry import unique_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)
GROUP = gemmi.SpaceGroup("P 4 2 2")
IMAGES = 60


class TestDamageAnalysis(PluginContract):
    slot = "program"
    name = "damage_analysis"


def measured(damage=0.0, noise=0.05, begin=0, sweeps=1, times=12, seed=0):
    """Every reflection `times` times, on images drawn at random; what they lose after image `begin` differs between reflections."""
    rng = np.random.default_rng(seed)
    unique = unique_indices(CELL, GROUP, 4.0)
    one = incomplete_data_sets("P 4 2 2", CELL, 1, 0, d_min=8.0).experiments[0]
    scan = Scan((1, IMAGES), (0.0, 1.0))
    experiments = Experiments([replace(one, scan=scan, identifier=f"sweep-{i}") for i in range(sweeps)])
    truth, rate = rng.exponential(1000.0, len(unique)) + 50.0, rng.normal(0, 1, len(unique))
    which = np.tile(np.arange(len(unique)), times)
    z, sigma = rng.uniform(0, IMAGES, len(which)), noise * truth[which]
    true = truth[which] * (1 + damage * rate[which] * np.maximum(np.ceil(z) - begin, 0) / IMAGES)
    n = len(which)
    px = np.column_stack([np.full(n, 400.0), np.full(n, 400.0), z])
    table = ReflectionTable({
        "miller_index": unique[which].astype(np.int32), "id": rng.integers(sweeps, size=n).astype(np.int32), "xyzobs.px.value": px,
        "xyzcal.px": px, "flags": np.full(n, int(Flag.SCALED | Flag.INTEGRATED_SUM), dtype=np.uint64), "partiality": np.ones(n),
        "d": 1 / np.sqrt(gemmi.UnitCell(*CELL).calculate_1_d2_array(unique[which].astype(np.int32))),
        "intensity.scale.value": true + rng.normal(0, 1, n) * sigma, "intensity.scale.variance": sigma**2,
        "inverse_scale_factor": np.ones(n),
    })  # fmt: skip
    table.identifiers = {i: f"sweep-{i}" for i in range(sweeps)}
    return experiments, table, rate, truth


def curves(experiments, table, tmp_path, **params):
    result = spindle.run("damage_analysis", experiments, table, **{"output.json": "damage.json"}, **params)
    result.files["damage.json"](tmp_path / "damage.json")
    return json.loads((tmp_path / "damage.json").read_text()), result


def test_noise_alone_is_no_damage(tmp_path):
    experiments, table, _, _ = measured()
    found, result = curves(experiments, table, tmp_path)
    # 12 equivalents: 66 pairs, no two of which are independent; the mean of 1 is known to 1 / sqrt(2 n) or so
    assert abs(found["scp"][-1] - 1.0) < 0.02
    assert found["suggested_last_dose"] is None and "No damage" in result.next_step + found["verdict"]
    assert abs(result.summary["rise_of_rd"]) < 0.01
    assert found["completeness"][-1] == pytest.approx(1.0)


def test_rd_rises_as_reflections_part(tmp_path):
    experiments, table, rate, truth = measured(damage=0.3, noise=1e-6, times=40)
    found, _ = curves(experiments, table, tmp_path)
    # |I1 - I2| = I 0.3 |rate| delta / n; the denominator is I (1 + 0.3 rate (mean dose) / n), whose mean of rate is near 0
    per_dose = 0.3 * (truth * np.abs(rate)).sum() / IMAGES
    middle = (truth * (1 + 0.15 * rate)).sum()
    rd, difference = np.array(found["rd"], dtype=float), np.array(found["differences"])
    np.testing.assert_allclose(rd[1:40], per_dose / middle * difference[1:40], rtol=0.08)
    assert rd[0] < 1e-5


def test_a_cut_is_suggested_where_damage_begins(tmp_path):
    experiments, table, _, _ = measured(damage=1.0, begin=30, times=30)
    found, result = curves(experiments, table, tmp_path)
    assert 30 <= found["suggested_last_dose"] <= 40
    last = int(found["suggested_last_dose"])
    assert f"exclude_images={last + 1}:{IMAGES}" in result.next_step
    early, _ = curves(experiments, table, tmp_path, **{"range.max": 30})
    assert early["suggested_last_dose"] is None and early["doses"][-1] == 30


def test_every_pair_counts_once(tmp_path):
    """Two reflections of three and two observations, by hand."""
    experiments, table, _, _ = measured(times=1)
    rows = np.array([0, 0, 0, 1, 1])
    table = table.select(rows)
    table["intensity.scale.value"] = np.array([100.0, 110.0, 90.0, 50.0, 54.0])
    table["intensity.scale.variance"] = np.ones(5)
    px = np.zeros((5, 3))
    px[:, 2] = [0.5, 1.5, 3.5, 1.5, 2.5]
    table["xyzobs.px.value"] = table["xyzcal.px"] = px
    found, _ = curves(experiments, table, tmp_path, resolution_bins=1)
    assert found["doses"] == [0.0, 1.0, 2.0, 3.0, 4.0]
    top = [10.0, 4.0, 10.0 + 20.0]
    bottom = [105.0, 52.0, 95.0 + 100.0]
    assert found["rcp"][:2] == [None, None]
    np.testing.assert_allclose(found["rcp"][2:], np.cumsum(top) / np.cumsum(bottom))
    np.testing.assert_allclose(found["rd"][1:4], [(10 + 4) / (105 + 52), 20 / 100, 10 / 95])


def test_many_equivalents_are_sampled_without_bias(tmp_path):
    experiments, table, _, _ = measured(damage=0.5)
    few = table.select(np.isin(np.arange(len(table)) % (len(table) // 12), np.arange(4)))
    rng = np.random.default_rng(3)
    many = few.select(np.repeat(np.arange(len(few)), 60))
    z = rng.uniform(0, IMAGES, len(many))
    many["intensity.scale.value"] = many["intensity.scale.value"] + rng.normal(0, 30.0, len(many))
    px = np.column_stack([np.zeros((len(many), 2)), z])
    many["xyzobs.px.value"] = many["xyzcal.px"] = px
    found, _ = curves(experiments, many, tmp_path, resolution_bins=1)
    value, group = many["intensity.scale.value"], many["miller_index"]
    top = bottom = 0.0
    for hkl in np.unique(group, axis=0):
        v = value[(group == hkl).all(axis=1)]
        assert len(v) == 720
        top += np.abs(v[:, None] - v).sum() / 2
        bottom += np.abs((v[:, None] + v) / 2).sum() / 2 - np.abs(v).sum() / 2
    assert found["rcp"][-1] == pytest.approx(top / bottom, rel=0.02)


def test_doses_of_sweeps(tmp_path):
    experiments, table, _, _ = measured(sweeps=3)
    found, _ = curves(experiments, table, tmp_path, shared_crystal=True)
    assert found["doses"][-1] == 3 * IMAGES
    found, _ = curves(experiments, table, tmp_path, dose_per_image=(2.0, 1.0, 1.0), starting_doses=(0.0, 5.0, 100.0))
    assert found["doses"][-1] == 100 + IMAGES
    found, _ = curves(experiments, table, tmp_path, dose_per_image=0.02)
    assert found["doses"][-1] == pytest.approx(0.02 * IMAGES) and len(found["doses"]) == IMAGES + 1


def test_sweeps_are_judged_by_themselves(tmp_path):
    experiments, table, _, _ = measured(sweeps=2, times=40)
    bad = table["id"] == 1
    rng = np.random.default_rng(1)
    value = np.array(table["intensity.scale.value"])
    z = table["xyzobs.px.value"][:, 2]
    value[bad] *= 1 + 0.8 * rng.normal(0, 1, bad.sum()) * (z[bad] > 40)
    table["intensity.scale.value"] = value
    found, result = curves(experiments, table, tmp_path, by_sweep=True)
    cuts = [found["sweeps"][str(i)]["suggested_last_dose"] for i in range(2)]
    assert cuts[0] is None and 38 <= cuts[1] <= 45
    assert [t.key for t in result.tables] == ["damage", "damage_by_sweep"]


def test_ranges_of_doses_are_written(tmp_path):
    experiments, table, _, _ = measured(times=20)
    result = spindle.run(
        "damage_analysis", experiments, table, **{"damage_series.dose_group_size": 25.0, "output.damage_series": True,
        "output.accumulation_series": True},
    )  # fmt: skip
    assert {n for n in result.files if n.endswith(".refl")} == {
        "damage_series_0_25.refl", "damage_series_25_50.refl", "damage_series_50_75.refl", "accumulation_series_0_25.refl",
        "accumulation_series_0_50.refl", "accumulation_series_0_75.refl",
    }  # fmt: skip
    from spindle.files import read_reflections

    result.files["damage_series_25_50.refl"](tmp_path / "x.refl")
    z = read_reflections(tmp_path / "x.refl")["xyzobs.px.value"][:, 2]
    assert z.min() > 25 and z.max() <= 50
    assert len(z) == np.count_nonzero((table["xyzobs.px.value"][:, 2] > 25) & (table["xyzobs.px.value"][:, 2] <= 50))
    result.files["spindle.damage_analysis.html"](tmp_path / "x.html")
    assert "Doses from the beginning" in (tmp_path / "x.html").read_text()


def test_shells_that_are_not_complete_are_left_out(tmp_path):
    experiments, table, _, _ = measured()
    d = table["d"]
    sparse = table.select((d > 5.0) | (np.random.default_rng(0).random(len(d)) < 0.02))
    found, _ = curves(experiments, sparse, tmp_path, min_completeness=0.8)
    assert 4.7 < found["shells"][-1] < 5.6


def test_mates_apart(tmp_path):
    experiments, table, _, _ = measured()
    found, _ = curves(experiments, table, tmp_path, anomalous=True)
    assert found["completeness_I+"][-1] == pytest.approx(1.0)
    assert found["completeness_dI"][-1] < 0.5  # only centric ones have both: all indices are of one half


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"range.min": 1000.0}, "nothing is left within range.min"),
        ({"d_min": 100.0}, "nothing is left within d_min"),
        ({"dose_per_image": (1.0, 2.0)}, "2 values for 1 experiment"),
        ({"dose_per_image": 0.0}, "nothing to compare"),
        ({"shared_crystal": True, "starting_doses": 3.0}, "leave starting_doses away"),
        ({"range.width": 1e-6}, "steps of the doses"),
        ({"min_completeness": 1.0, "d_max": 4.2}, None),
        ({"output.damage_series": True}, "needs damage_series.dose_group_size"),
        ({"damage_series.dose_group_size": 0.01}, "at most 200"),
    ],
)
def test_what_makes_no_sense_is_refused(params, message):
    experiments, table, _, _ = measured(times=2)
    if message is None:
        spindle.run("damage_analysis", experiments, table, **params)
        return
    with pytest.raises((UserError, ParameterError), match=message):
        spindle.run("damage_analysis", experiments, table, **params)


def test_other_space_groups_and_stills_are_refused():
    experiments, table, _, _ = measured(sweeps=2, times=2)
    other = replace(experiments[1], crystal=experiments[1].known_crystal.with_space_group("P 4"))
    with pytest.raises(UserError, match="different space groups, P 4, P 4 2 2"):
        spindle.run("damage_analysis", Experiments([experiments[0], other]), table)
    with pytest.raises(UserError, match="experiment 1 has no scan"):
        spindle.run("damage_analysis", Experiments([experiments[0], replace(experiments[1], scan=None)]), table)
    with pytest.raises(UserError, match="spindle damage_analysis scaled"):
        spindle.run("damage_analysis", experiments)


def test_of_a_single_reflection_nothing_can_be_told():
    experiments, table, _, _ = measured()
    result = spindle.run("damage_analysis", experiments, table.select(np.array([0])))
    assert "nothing can be told of so few" in result.next_step
