"""Prediction: physics, invariance, and agreement with an independent program's files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.files import read_experiments, read_reflections
from spindle.geometry import kabsch_frame, rotation_matrix, zeta_factor
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.prediction import (
    add_observed_geometry,
    lorentz_polarisation,
    predict,
    predict_for_indexed,
    predict_scan_varying,
    predict_static,
)
from spindle.table import Flag
from spindle.testing import shared_data

U = rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7)


def experiment(space_group="P 1", width=0.5, n=60, turn=None, cell=(40.0, 50.0, 60.0, 90.0, 100.0, 90.0)):
    R = np.eye(3) if turn is None else turn
    panel = Panel(R @ [1, 0, 0], R @ [0, -1, 0], R @ [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610), thickness=0.32,
    mu=4.2,
                  parallax="normalised")  # fmt: skip
    return Experiment(
        beam=Beam(R @ [0, 0, 1], 1.0, R @ [0, 1, 0]), detector=Detector([panel]),
        goniometer=Goniometer(rotation_axis=R @ [1, 0, 0]), scan=Scan((1, n), (10.0, width)),
        crystal=Crystal.from_cell(cell, R @ U, space_group),
    )  # fmt: skip


def test_predicted_points_lie_on_the_ewald_sphere_at_their_angle():
    e = experiment()
    table = predict_static(e, d_min=2.0)
    assert len(table) > 1000
    np.testing.assert_allclose(np.linalg.norm(table["s1"], axis=1), 1.0, atol=1e-12)
    q = table["s1"] - e.beam.s0
    for row in range(0, len(table), 97):
        r = e.goniometer.rotation(table["xyzcal.mm"][row, 2]) @ e.crystal.A @ table["miller_index"][row]
        np.testing.assert_allclose(r, q[row], atol=1e-12)
    d = 1 / np.linalg.norm(q, axis=1)
    assert d.min() >= 2.0 - 1e-9


def test_rotating_the_laboratory_changes_no_pixel():
    a = predict_static(experiment(), d_min=2.5)
    b = predict_static(experiment(turn=rotation_matrix(np.array([0.6, 0, 0.8]), 1.1)), d_min=2.5)
    np.testing.assert_array_equal(a["miller_index"], b["miller_index"])
    np.testing.assert_allclose(a["xyzcal.px"], b["xyzcal.px"], atol=1e-8)


def test_centred_lattices_lack_their_absences_and_screw_axes_do_not_matter():
    hkl = predict_static(experiment("C 1 2 1"), d_min=3.0)["miller_index"]
    assert np.all((hkl[:, 0] + hkl[:, 1]) % 2 == 0)
    assert len(predict_static(experiment("P 1 21 1"), d_min=3.0)) == len(
        predict_static(experiment("P 1 2 1"), d_min=3.0)
    )


def test_more_than_a_turn_predicts_again():
    once = predict_static(experiment(n=720), d_min=4.0)
    twice = predict_static(experiment(n=1440), d_min=4.0)
    assert len(twice) == 2 * len(once)


def test_scan_varying_prediction_of_a_constant_crystal_is_the_static_one():
    e = experiment(width=0.1, n=300)
    static = predict_static(e, d_min=2.5)
    points = np.broadcast_to(e.crystal.A, (301, 3, 3))
    varying = predict_scan_varying(replace(e, crystal=replace(e.crystal, A_at_scan_points=points)), d_min=2.5)
    key = ["miller_index", "entering"]
    order = [np.lexsort([*t["miller_index"].T, t["entering"]]) for t in (static, varying)]
    # Reflections that enter and leave within one image cannot be seen from its edges.
    assert len(static) - len(varying) <= 0.002 * len(static)
    a = {(*h, bool(n)): p for h, n, p in zip(static[key[0]].tolist(), static[key[1]], static["xyzcal.px"], strict=True)}
    deviation = [
        p - a[(*h, bool(n))]
        for h, n, p in zip(varying[key[0]].tolist(), varying[key[1]], varying["xyzcal.px"], strict=True)
    ]
    assert np.percentile(np.abs(deviation), 99) < 2e-3 and order[0] is not None


def test_scan_varying_prediction_follows_a_drifting_crystal():
    """A crystal turning about the axis at a thousandth of the scan's speed: angles shift in proportion."""
    e = experiment(width=0.1, n=300)
    drift = np.deg2rad(0.1) * 1e-3
    points = np.array([rotation_matrix(np.array([1.0, 0, 0]), drift * i) @ e.crystal.A for i in range(301)])
    varying = predict_scan_varying(replace(e, crystal=replace(e.crystal, A_at_scan_points=points)), d_min=2.5)
    static = predict_static(e, d_min=2.5, padding=np.deg2rad(1.0))
    a = {
        (*h, bool(n)): p
        for h, n, p in zip(static["miller_index"].tolist(), static["entering"], static["xyzcal.px"], strict=True)
    }
    z = np.array(
        [a[(*h, bool(n))][2] for h, n in zip(varying["miller_index"].tolist(), varying["entering"], strict=True)]
    )
    assert np.percentile(np.abs(varying["xyzcal.px"][:, 2] - z / 1.001), 99) < 2e-3


def test_a_limit_below_half_the_wavelength_is_an_error():
    with pytest.raises(ModelError, match=r"d_min=0\.4"):
        predict_static(experiment(), d_min=0.4)


def test_an_absurd_cell_is_refused_before_memory_is_taken():
    with pytest.raises(ModelError, match="too many reflections"):
        predict_static(experiment(cell=(3000.0, 4000.0, 5000.0, 90.0, 90.0, 90.0)), d_min=1.0)


def test_indexed_spots_are_predicted_where_they_were_generated():
    e = experiment()
    table = predict_static(e, d_min=2.5)
    table["xyzobs.px.value"] = table["xyzcal.px"] + 0.2
    table["xyzobs.px.variance"] = np.ones((len(table), 3))
    again = predict_for_indexed(Experiments([e]), table)
    assert again.has_flags(Flag.PREDICTED).all()
    np.testing.assert_allclose(again["xyzcal.px"], table["xyzcal.px"], atol=1e-9)


def test_reciprocal_lattice_points_of_predictions_are_integers():
    e = experiment()
    table = predict_static(e, d_min=2.5)
    table["xyzobs.px.value"], table["xyzobs.px.variance"] = table["xyzcal.px"], np.ones((len(table), 3))
    observed = add_observed_geometry(Experiments([e]), table)
    hkl = observed["rlp"] @ np.linalg.inv(e.crystal.A).T
    np.testing.assert_allclose(hkl, table["miller_index"], atol=1e-7)
    np.testing.assert_array_equal(observed["entering"], table["entering"])


def test_kabsch_frame_is_orthogonal_where_it_must_be():
    e = experiment()
    s1 = predict_static(e, d_min=3.0)["s1"]
    e1, e2, e3 = kabsch_frame(s1, e.beam.s0)
    assert np.abs(np.einsum("ij,ij->i", e1, e2)).max() < 1e-12
    assert np.abs(np.einsum("ij,ij->i", e1, e3)).max() < 1e-12
    assert np.abs(e1 @ e.beam.s0).max() < 1e-12


@pytest.mark.parametrize("name", ["quartz_processed/integrated"])
def test_positions_zeta_and_lp_equal_those_of_dials(name):
    """Columns that DIALS wrote: xyzcal.px (scan-varying crystal), zeta, lp."""
    stem = shared_data("dials_processed") / name
    e, r = read_experiments(f"{stem}.expt"), read_reflections(f"{stem}.refl")
    p = predict(e[0], padding=np.deg2rad(1.0))
    places = {
        (*h, bool(n)): x for h, n, x in zip(p["miller_index"].tolist(), p["entering"], p["xyzcal.px"], strict=True)
    }
    ours = np.array([places[(*h, bool(n))] for h, n in zip(r["miller_index"].tolist(), r["entering"], strict=True)])
    np.testing.assert_allclose(ours, r["xyzcal.px"], atol=1e-10)
    np.testing.assert_allclose(zeta_factor(e[0].beam.s0, r["s1"], e[0].goniometer.axis_lab), r["zeta"], atol=1e-14)
    beam = replace(e[0].beam, probe="x-ray")  # DIALS polarised electrons, too
    np.testing.assert_allclose(lorentz_polarisation(beam, e[0].goniometer, r["s1"]), r["lp"], atol=1e-14)


def test_calculated_positions_of_indexed_spots_equal_those_of_dials():
    stem = shared_data("dials_processed") / "quartz_processed" / "indexed"
    e, r = read_experiments(f"{stem}.expt"), read_reflections(f"{stem}.refl")
    ours = predict_for_indexed(e, r)
    rows = (r["id"] >= 0) & r.has_flags(Flag.PREDICTED)
    np.testing.assert_allclose(ours["xyzcal.px"][rows], r["xyzcal.px"][rows], atol=1e-10)
    np.testing.assert_allclose(ours["xyzcal.mm"][rows], r["xyzcal.mm"][rows], atol=1e-10)


@pytest.mark.parametrize(("width", "n", "space_group"), [(0.01, 3, "P 1"), (0.5, 2, "C 1 2 1"), (1.0, 300, "P 1")])
def test_only_indices_near_the_ewald_sphere_are_looked_at_and_none_is_missed(monkeypatch, width, n, space_group):
    """All indices of the sphere give the same rows; of a narrow sweep hardly any of them has to be looked at."""
    from spindle.prediction import scans

    e = experiment(space_group, width, n)
    axis = np.array([0.36, -0.48, 0.8])
    e = replace(e, goniometer=Goniometer(rotation_axis=axis, setting_rotation=rotation_matrix(axis[[1, 2, 0]], 0.4),
                                         fixed_rotation=U))  # fmt: skip
    few = min(n, 20)
    drift = np.random.default_rng(3).normal(0, 3e-3, (few + 1, 3, 3))
    varying = replace(e, scan=Scan((1, few), (10.0, width)),
                      crystal=replace(e.crystal, A_at_scan_points=e.crystal.A + drift @ e.crystal.A))  # fmt: skip
    narrow = scans.indices_to_resolution
    looked_at = []

    def counted(*arguments):
        looked_at.append(len(narrow(*arguments)))
        return narrow(*arguments)

    monkeypatch.setattr(scans, "indices_to_resolution", counted)
    found = [predict_static(e, 0, 1.6, padding=0.01), predict_scan_varying(varying, 0, 1.6, padding=0.01)]
    monkeypatch.setattr(scans, "indices_to_resolution", lambda e, d_min, d_max=None, *_: narrow(e, d_min, d_max))
    whole = [predict_static(e, 0, 1.6, padding=0.01), predict_scan_varying(varying, 0, 1.6, padding=0.01)]
    for table, truth in zip(found, whole, strict=True):
        assert len(truth) > 300
        for name in truth:
            np.testing.assert_array_equal(table[name], truth[name])
    if n < 10:
        assert looked_at[0] < 0.1 * len(narrow(e, 1.6)) and looked_at[0] < 2 * len(found[0])
