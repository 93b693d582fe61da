"""Post-refinement of simulated stills: intensities, sigmas, scales, B, orientations and widths against their truth."""

from __future__ import annotations

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from spindle_program_scale_stills.kernels import excitation, factors

import spindle
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.stills import simulated_stills
from spindle_lib_merging import merge_equivalents


class TestScaleStills(PluginContract):
    slot = "program"
    name = "scale_stills"


@pytest.fixture(scope="module")
def many():
    return simulated_stills(200)


@pytest.fixture(scope="module")
def refined(many):
    return spindle.run("scale_stills", many.experiments, many.table)


def merged(result, truth):
    """Merged intensities on the scale of the truth, true ones, sigmas."""
    table = result.reflections
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    group = result.experiments[0].crystal.space_group
    found = merge_equivalents(
        table["miller_index"][good],
        table["intensity.scale.value"][good] / g,
        table["intensity.scale.variance"][good] / g**2,
        group,
    )
    true = truth.truth(found.hkl)
    k = (found.intensity * true / found.sigma**2).sum() / (true**2 / found.sigma**2).sum()
    return found.intensity / k, true, found.sigma / k


def test_merged_intensities_are_true_and_sigmas_right(many, refined) -> None:
    value, true, sigma = merged(refined, many)
    assert len(value) > 0.9 * len(many.hkl)
    assert np.corrcoef(value, true)[0, 1] > 0.999
    z = (value - true) / sigma
    for part in np.array_split(np.argsort(true), 4):
        assert np.sqrt((z[part] ** 2).mean()) == pytest.approx(1.0, abs=0.1)
        assert abs(z[part].mean()) < 0.2


def test_scales_b_widths_and_orientations_are_found(many, refined) -> None:
    k = np.array([e.scaling_model["scale"]["parameters"][0] for e in refined.experiments])
    b = np.array([e.scaling_model["decay"]["parameters"][0] for e in refined.experiments])
    width = np.array([e.scaling_model["configuration_parameters"]["partiality_width"] for e in refined.experiments])
    assert (np.log(k) - np.log(many.scale)).std() < 0.03
    assert (b - many.b).std() < 0.6
    assert np.abs(np.log(np.degrees(width) / many.width_deg)).max() < 0.06
    # the rotation of each crystal about the axes across the beam is undone; about the beam nothing tells
    before, after = [], []
    for first, last, wrong in zip(many.experiments, refined.experiments, many.rotation, strict=True):
        true = np.linalg.inv(wrong) @ first.crystal.A
        for crystal, found in ((first.crystal, before), (last.crystal, after)):
            change = crystal.A @ np.linalg.inv(true)
            found.append(np.degrees(np.hypot(change[1, 2] - change[2, 1], change[0, 2] - change[2, 0]) / 2))
    assert np.median(before) > 0.02 and np.median(after) < 0.003 and max(after) < 0.02


def test_partialities_are_written_and_are_true(many, refined) -> None:
    table = refined.reflections
    good = table.has_flags(Flag.SCALED)
    error = table["partiality"] - many.partiality
    assert np.sqrt((error[good] ** 2).mean()) < 0.02
    assert np.sqrt(((many.table["partiality"] - many.partiality)[good] ** 2).mean()) > 0.1


def test_more_stills_agree_better_and_post_refinement_beats_averages(many, refined, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    simple = spindle.run("scale_stills", many.experiments, many.table, method="monte_carlo")
    value, true, sigma = merged(simple, many)
    best, of_best, _ = merged(refined, many)
    assert 0.9 < np.corrcoef(value, true)[0, 1] < np.corrcoef(best, of_best)[0, 1]
    z = (value - true) / sigma
    assert 0.8 < np.sqrt(np.median(z**2)) / 0.6745 < 1.4
    assert refined.summary["r_split"] < 0.3 * simple.summary["r_split"]
    write_experiments(many.experiments, tmp_path / "i.expt")
    write_reflections(many.table, tmp_path / "i.refl")
    from spindle.cli.main import main

    assert main(["scale_stills", "i.expt", "i.refl"]) == 0
    record = json.loads((tmp_path / "spindle.scale_stills_results.json").read_text())
    halves = record["halves"]
    assert [h["n_stills"] for h in halves] == [6, 12, 25, 50, 100, 200]
    assert halves[-1]["r_split"] < 0.6 * halves[2]["r_split"] and halves[-1]["cc_half"] > halves[2]["cc_half"]
    # the expected gain: half of the variance with twice as many
    assert halves[-1]["r_split"] == pytest.approx(halves[-2]["r_split"] / np.sqrt(2), rel=0.2)
    assert "Partialities" in (tmp_path / "spindle.scale_stills.html").read_text()
    assert main(["merge", "scaled.expt", "scaled.refl", "partiality_threshold=0.1"]) == 0
    mtz = gemmi.read_mtz_file(str(tmp_path / "merged.mtz"))
    intensity = np.asarray(mtz.column_with_label("IMEAN").array, float)
    assert np.corrcoef(intensity, many.truth(np.asarray(mtz.make_miller_array())))[0, 1] > 0.999


def test_wrong_stills_are_left_out() -> None:
    """One still has another orientation, one has three reflections, one is of noise."""
    data = simulated_stills(60, seed=3)
    table, ids = data.table, np.asarray(data.table["id"])
    rng = np.random.default_rng(1)
    value = np.array(table["intensity.sum.value"])
    for k in (4, 5):
        rows = np.flatnonzero(ids == k)
        value[rows] = rng.permutation(value[rows]) if k == 4 else rng.normal(0, 5, len(rows))
    table["intensity.sum.value"] = value
    keep = (ids != 9) | (np.cumsum(ids == 9) <= 3)
    result = spindle.run("scale_stills", data.experiments, table.select(keep))
    bad = set(range(60)) - set(np.unique(result.reflections["id"][result.reflections.has_flags(Flag.SCALED)]).tolist())
    assert {4, 5, 9} <= bad and len(bad) < 6
    assert result.summary["n_left_out"] == len(bad)


def test_the_partiality_model_that_agrees_better_is_taken(many, refined) -> None:
    """The partialities of these tables are wrong; where they are right, and cells are not, they win."""
    assert refined.summary["partiality_model"] == "refined"
    true = many.table.view()
    true["partiality"] = many.partiality
    rng = np.random.default_rng(3)
    wrong = [
        replace(e, crystal=e.crystal.with_A(e.crystal.A @ np.diag(1 + 0.01 * rng.normal(size=3))))
        for e in many.experiments
    ]
    result = spindle.run("scale_stills", Experiments(wrong), true, **{"postrefinement.common_cell": False})
    assert result.summary["partiality_model"] == "table"
    value, of_value, _ = merged(result, many)
    assert np.corrcoef(value, of_value)[0, 1] > 0.998


def test_noisy_cells_are_replaced_by_their_median(many) -> None:
    rng = np.random.default_rng(4)
    noisy = [
        replace(e, crystal=e.crystal.with_A(e.crystal.A @ np.diag([1 + x, 1 + x, 1 + y])))
        for e, x, y in zip(many.experiments, *(0.003 * rng.normal(size=(2, 200))), strict=True)
    ]
    common = spindle.run("scale_stills", Experiments(noisy), many.table)
    own = spindle.run("scale_stills", Experiments(noisy), many.table, **{"postrefinement.common_cell": False})
    assert common.summary["r_split"] < 0.7 * own.summary["r_split"]
    np.testing.assert_allclose(common.experiments[3].crystal.cell[:3], [45, 45, 60], rtol=1e-3)


def test_order_of_stills_and_number_of_tasks_do_not_matter(many, refined) -> None:
    order = np.random.default_rng(2).permutation(200)
    place = np.argsort(order)
    table = many.table.view()
    table["id"] = place[table["id"]].astype(np.int32)
    table.identifiers = {k: f"still-{i}" for k, i in enumerate(order)}
    again = spindle.run("scale_stills", Experiments([many.experiments[int(i)] for i in order]), table)
    ratio = again.reflections["inverse_scale_factor"] / refined.reflections["inverse_scale_factor"]
    good = refined.reflections.has_flags(Flag.SCALED)
    np.testing.assert_allclose(ratio[good], 1.0, rtol=1e-5)


def test_a_reference_and_several_wavelengths(tmp_path) -> None:
    """Thirty stills of two wavelengths, refined against true intensities of 100 times the size."""
    data = simulated_stills(30, seed=5, wavelengths=(1.0, 1.1))
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 4 2 2"), gemmi.UnitCell(45, 45, 60, 90, 90, 90)
    mtz.add_dataset("x")
    mtz.add_column("I", "J")
    mtz.set_data(np.column_stack([data.hkl, 100 * data.intensity]).astype(np.float32))
    mtz.write_to_file(str(tmp_path / "r.mtz"))
    result = spindle.run("scale_stills", data.experiments, data.table, reference=str(tmp_path / "r.mtz"))
    k = np.array([e.scaling_model["scale"]["parameters"][0] for e in result.experiments])
    assert np.abs(np.log(100 * k / data.scale)).max() < 0.15
    table = result.reflections
    good = table.has_flags(Flag.SCALED)
    assert np.corrcoef((table["intensity.scale.value"] / table["inverse_scale_factor"])[good], 100 * data.truth(
        spindle_asu(table["miller_index"][good])))[0, 1] > 0.95  # fmt: skip


def spindle_asu(hkl):
    from spindle.symmetry import asu_indices

    return asu_indices(hkl, "P 4 2 2")[0]


@pytest.mark.parametrize("options", [{"partiality.model": "table"}, {"partiality.model": "unity"}, {"partiality.width": "size"},
                                     {"postrefinement.orientation": False, "postrefinement.b_factor": False}, {"anomalous": True},
                                     {"d_min": 3.0, "d_max": 15.0}])  # fmt: skip
def test_choices_run_and_say_what_they_cost(options) -> None:
    data = simulated_stills(40, seed=7, error_deg=0.0)
    result = spindle.run("scale_stills", data.experiments, data.table, **options)
    assert 0.4 < result.summary["cc_half"] <= 1.0
    if "d_min" in options:
        assert result.summary["d_min"] > 2.999


def test_input_that_makes_no_sense_is_refused(many) -> None:
    with pytest.raises(UserError, match="give integrated stills"):
        spindle.run("scale_stills", many.experiments)
    one = many.table.select(np.flatnonzero(many.table["id"] == 0))
    with pytest.raises(UserError, match="one still has nothing to be compared with"):
        spindle.run("scale_stills", Experiments([many.experiments[0]]), one)
    with pytest.raises(UserError, match="no still is left"):
        spindle.run("scale_stills", many.experiments, many.table, min_reflections=10_000)
    from spindle.testing.scaling import simulated_scan

    scan, table, _ = simulated_scan(n_unique=50)
    with pytest.raises(UserError, match="experiment 0 is a scan"):
        spindle.run("scale_stills", Experiments([scan]), table)


def test_derivatives_are_those_of_differences() -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(0, 0.2, (50, 3))
    s0 = np.array([0.1, -0.2, 0.95])
    e1 = np.cross(s0, [1.0, 0, 0])
    e1 /= np.linalg.norm(e1)
    e2 = np.cross(s0, e1) / np.linalg.norm(s0)
    p = np.array([0.3, -2.0, 0.002, -0.001, np.log(0.05)])
    x, reach = 0.5 * (q**2).sum(axis=1), np.linalg.norm(q, axis=1)

    def ln_g(p):
        g, part, slopes = np.empty(50), np.empty(50), np.empty((50, 5))
        factors(q, x, reach, np.zeros(50), s0, e1, e2, p, g, part, slopes)
        return np.log(g), slopes

    _, slopes = ln_g(p)
    for a in range(5):
        h = np.zeros(5)
        h[a] = 1e-6
        numeric = (ln_g(p + h)[0] - ln_g(p - h)[0]) / 2e-6
        np.testing.assert_allclose(slopes[:, a], numeric, rtol=1e-4, atol=1e-3 * np.abs(numeric).max())
    # the rotation is that of the exact formula
    from spindle.geometry import rotation_matrix

    turn = p[2] * e1 + p[3] * e2
    angle = np.linalg.norm(turn)
    found = np.empty(3)
    for point in q:
        excitation(point, s0, e1, e2, p[2], p[3], found)
        exact = np.linalg.norm(s0 + rotation_matrix(turn / angle, angle) @ point) - np.linalg.norm(s0)
        assert found[0] == pytest.approx(exact, abs=1e-9)


def test_nothing_is_a_table_without_rows(many) -> None:
    with pytest.raises(UserError, match="no reflection"):
        spindle.run("scale_stills", many.experiments, many.table.select(np.zeros(0, np.int64)))
    assert isinstance(many.table, ReflectionTable)
