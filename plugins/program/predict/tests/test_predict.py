"""`spindle predict`: positions from the Laue equation, images beside the scan, stills, given reflections, boxes, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Experiments, Scan
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.refinement_problems import rotation_experiment, spots_of


class TestPredictPlugin(PluginContract):
    slot = "program"
    name = "predict"


@pytest.fixture(scope="module")
def sweep():
    return rotation_experiment(40)


def predict(experiments, reflections=None, **params):
    if not isinstance(experiments, Experiments):
        experiments = Experiments([experiments])
    return spindle.run("predict", experiments, reflections, **{k.replace("__", "."): v for k, v in params.items()})


def still_of(sweep):
    return replace(sweep, scan=Scan((1, 1), (0.0, 0.0)))


def by_index(table):
    """Rows in the order of index and direction of crossing."""
    return np.lexsort([table["entering"], *table["miller_index"].T])


def test_reflections_are_where_the_laue_equation_has_them(sweep):
    expected, table = spots_of(sweep, 2.6), predict(sweep, d_min=2.6).reflections
    near = np.abs(table["s1"] @ np.cross(sweep.beam.s0, sweep.goniometer.axis_lab)) > 0.03  # those of `spots_of`
    table = table.select(near)
    a, b = by_index(expected), by_index(table)
    np.testing.assert_array_equal(expected["miller_index"][a], table["miller_index"][b])
    np.testing.assert_allclose(table["xyzcal.px"][b], expected["xyzobs.px.value"][a], atol=1e-8)


def test_limits_of_resolution(sweep):
    table = predict(sweep, d_min=3.0, d_max=6.0).reflections
    d = 1 / np.linalg.norm(table["miller_index"] @ sweep.crystal.A.T, axis=1)
    assert len(table) > 100 and d.min() >= 3.0 and d.max() <= 6.0


@pytest.mark.parametrize("varying", [False, True])
def test_a_buffer_adds_what_a_longer_scan_has(sweep, varying):
    """Of a lattice that does not change it makes no difference which images are the scan."""
    if varying:
        sweep = replace(
            sweep, crystal=replace(sweep.crystal, A_at_scan_points=np.repeat(sweep.crystal.A[None], 41, axis=0))
        )
    longer = replace(sweep, scan=Scan((-4, 45), (-5.0, 1.0)))
    if varying:
        longer = replace(
            longer, crystal=replace(sweep.crystal, A_at_scan_points=np.repeat(sweep.crystal.A[None], 51, axis=0))
        )
    a, b = predict(sweep, d_min=3, buffer_size=5).reflections, predict(longer, d_min=3).reflections
    a, b = (t.select(by_index(t)) for t in (a, b))
    np.testing.assert_array_equal(a["miller_index"], b["miller_index"])
    np.testing.assert_allclose(a["xyzcal.px"], b["xyzcal.px"], atol=1e-8)
    assert a["xyzcal.px"][:, 2].min() < 0 and a["xyzcal.px"][:, 2].max() > 40


def test_a_crystal_that_turns_is_followed_unless_it_is_to_be_static(sweep):
    turned = [rotation_matrix(np.array([0.0, 0.0, 1.0]), 0.002 * t) @ sweep.crystal.A for t in np.linspace(0, 1, 41)]
    moving = replace(sweep, crystal=replace(sweep.crystal, A_at_scan_points=np.array(turned)))
    still = predict(sweep, d_min=3).reflections
    assert len(predict(moving, d_min=3, force_static=True).reflections) == len(still)
    table = predict(moving, d_min=3).reflections
    early = table["xyzcal.px"][:, 2] < 5
    assert not np.array_equal(table["miller_index"], still["miller_index"])
    row = int(np.flatnonzero(early)[3])
    twin = np.flatnonzero(
        (still["miller_index"] == table["miller_index"][row]).all(axis=1)
        & (still["entering"] == table["entering"][row])
    )
    assert np.abs(still["xyzcal.px"][twin[0]] - table["xyzcal.px"][row]).max() < 0.5


def test_stills_show_what_is_within_their_mosaic_width(sweep):
    still = still_of(sweep)
    wide = replace(
        still, crystal=replace(still.crystal, extra={"ML_half_mosaicity_deg": 0.2, "ML_domain_size_ang": 2000.0})
    )
    table = predict(Experiments([still, wide]), d_min=2.6).reflections
    narrow, broad = table.select(table["id"] == 0), table.select(table["id"] == 1)
    assert 10 < len(narrow) < 0.6 * len(broad)
    assert np.abs(narrow["delpsical.rad"]).max() <= 0.0015
    d = 1 / np.linalg.norm(broad["miller_index"] @ still.crystal.A.T, axis=1)
    room = np.radians(0.2) + d / 2000.0
    assert (np.abs(broad["delpsical.rad"]) <= room).all() and (np.abs(broad["delpsical.rad"]) > 0.8 * room).any()
    # turned by delta psi in the plane of beam and point, it is on the sphere, where s1 has it
    q = broad["miller_index"] @ still.crystal.A.T
    s0 = still.beam.s0
    for k in range(0, len(broad), 17):
        axis = np.cross(q[k], s0)
        on_sphere = rotation_matrix(axis / np.linalg.norm(axis), broad["delpsical.rad"][k]) @ q[k]
        np.testing.assert_allclose(s0 + on_sphere, broad["s1"][k], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(broad["s1"], axis=1), 1.0, atol=1e-12)
    assert not broad["xyzcal.px"][:, 2].any() and not broad["entering"].any()


def test_given_reflections_keep_their_columns_and_get_positions(sweep):
    spots = spots_of(sweep, 3.0).view()
    hkl = spots["miller_index"].copy()
    hkl[:3] = 0
    spots["miller_index"], spots["mine"] = hkl, np.arange(len(spots))
    table = predict(sweep, [spots], d_min=3.5).reflections
    d = 1 / np.linalg.norm(hkl[3:] @ sweep.crystal.A.T, axis=1)
    np.testing.assert_array_equal(table["mine"], 3 + np.flatnonzero(d >= 3.5))
    np.testing.assert_allclose(table["xyzcal.px"], table["xyzobs.px.value"], atol=1e-8)
    still = still_of(sweep)
    found = predict(still, d_min=3).reflections
    again = predict(still, [found.without("xyzcal.px", "delpsical.rad")]).reflections
    np.testing.assert_allclose(again["xyzcal.px"], found["xyzcal.px"], atol=1e-9)
    np.testing.assert_allclose(again["delpsical.rad"], found["delpsical.rad"], atol=1e-12)


def test_given_reflections_of_several_files_stay_with_their_experiments(sweep):
    other = replace(sweep, identifier="other", crystal=replace(sweep.crystal, A=1.01 * sweep.crystal.A))
    tables = [spots_of(sweep, 3.5), spots_of(other, 3.5)]
    tables[1].identifiers = {0: "other"}
    table = predict(Experiments([sweep, other]), tables).reflections
    assert table.identifiers == {0: "sweep", 1: "other"}
    assert np.bincount(table["id"]).tolist() == [len(t) for t in tables]
    np.testing.assert_allclose(table["xyzcal.px"], table["xyzobs.px.value"], atol=1e-8)


def test_boxes_hold_the_spots_and_need_a_profile_model(sweep):
    widths = {"gaussian_rs.parameters.sigma_b": 0.03, "gaussian_rs.parameters.sigma_m": 0.2}
    assert "bbox" not in predict(sweep, d_min=3).reflections
    table = predict(sweep, d_min=3, buffer_size=2, **widths).reflections
    box, centre = table["bbox"], table["xyzcal.px"]
    assert (box[:, ::2] <= centre).all() and (centre <= box[:, 1::2]).all()
    assert box[:, 4].min() == -2 and box[:, 5].max() == 42  # boxes end where the images beside the scan do
    known = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": [0.03] * 40, "sigma_m": [0.2] * 40}
    other = predict(replace(sweep, profile=known), d_min=3, buffer_size=2).reflections
    np.testing.assert_array_equal(other["bbox"], box)
    mixed = predict(Experiments([replace(sweep, profile=known), replace(sweep, identifier="b")]), d_min=3).reflections
    assert "bbox" not in mixed


def test_a_model_of_an_unknown_kind_is_done_without(sweep, caplog):
    table = predict(replace(sweep, profile={"__id__": "unheard_of"}), d_min=3).reflections
    assert len(table) == len(predict(sweep, d_min=3).reflections)
    assert "without the profile model unheard_of" in caplog.text


def test_several_experiments_are_told_apart(sweep):
    other = replace(
        sweep,
        identifier="other",
        crystal=replace(sweep.crystal, A=rotation_matrix(np.array([1.0, 0, 0]), 0.3) @ sweep.crystal.A),
    )
    result = predict(Experiments([sweep, other]), d_min=3)
    table = result.reflections
    assert table.identifiers == {0: "sweep", 1: "other"}
    assert result.summary["n_predicted_by_experiment"] == np.bincount(table["id"]).tolist()
    assert table.has_flags(Flag.PREDICTED).all()


def test_the_file_is_that_of_the_parameter(sweep, tmp_path, monkeypatch):
    """`output` is a file, not a scope; and a second run may replace it."""
    from spindle.cli.main import main
    from spindle.files import read_reflections, write_experiments

    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments([sweep]), tmp_path / "a.expt")
    for _ in range(2):
        assert main(["predict", "a.expt", "output=mine.refl", "d_min=4"]) == 0
    assert len(read_reflections(tmp_path / "mine.refl")) > 0
    assert not (tmp_path / "predict.refl").exists()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"d_min": 3.0, "d_max": 2.0}, "smaller of the two"),
        ({"d_min": 0.01}, "below half the wavelength"),
        ({"buffer_size": 400}, "more than a turn"),
        ({"ignore_shadows": False}, "not compared with moving shadows"),
    ],
)
def test_what_makes_no_sense_is_refused(sweep, params, words):
    with pytest.raises(UserError, match=words):
        predict(sweep, **params)


def test_inputs_that_do_not_do_are_refused(sweep):
    with pytest.raises(UserError, match="no crystal"):
        predict(replace(sweep, crystal=None))
    with pytest.raises(UserError, match="give experiments"):
        spindle.run("predict")
    with pytest.raises(UserError, match="stills have no images"):
        predict(still_of(sweep), buffer_size=1)
    spots = spots_of(sweep, 4.0)
    with pytest.raises(UserError, match="leave it out where reflections are given"):
        predict(sweep, [spots], buffer_size=1)
    columns = ("id", "miller_index", "flags", "panel", "entering", "xyzobs.px.value")
    assert len(predict(sweep, [ReflectionTable.with_rows(0, columns)]).reflections) == 0
