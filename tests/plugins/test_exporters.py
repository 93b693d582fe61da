"""Exporters: what is written is read alike by gemmi, in the right frame and with the right intensities."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.merging.intensities import combine_parts, prepare_intensities
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.models.arrays import rotation
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data


@pytest.fixture
def data():
    """A small integrated data set with a tilted axis, predicted, with intensities that are functions of the index."""
    from spindle.geometry import lorentz_polarisation, predict_static

    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610), thickness=0.32, mu=4.2,
    material="Si",
                  parallax="normalised", mask=((0, 195, 600, 212),))  # fmt: skip
    experiment = Experiment(
        Beam([0, 0, 1], 1.0), Detector([panel]), Goniometer([0.8, 0.6, 0.0]), Scan((3, 62), (10.0, 0.5)),
        Crystal.from_cell([60.0, 60.0, 40.0, 90, 90, 90], rotation(np.array([0.36, 0.48, 0.8]), 0.7), "P 43 21 2"),
        imageset=ImageSet(template="/data/x_####.cbf"),
    )  # fmt: skip
    table = predict_static(experiment, d_min=3.0)
    n = len(table)
    table["xyzobs.px.value"] = table["xyzcal.px"]
    table["d"] = 1 / np.linalg.norm(table["s1"] - experiment.beam.s0, axis=1)
    value = 100.0 + np.abs(table["miller_index"]).sum(axis=1)
    for kind, factor in (("sum", 1.0), ("prf", 2.0)):
        table[f"intensity.{kind}.value"] = factor * value
        table[f"intensity.{kind}.variance"] = factor * value
    table["partiality"] = np.ones(n)
    table["partial_id"] = np.arange(n)
    table["lp"] = lorentz_polarisation(experiment.beam, experiment.goniometer, table["s1"])
    table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF)
    return Experiments([experiment]), table


def rows_of(table, hkl, coordinate, axis):
    """Rows of the table with these indices and this coordinate of the calculated position."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.column_stack([100.0 * table["miller_index"], table["xyzcal.px"][:, axis]]))
    distance, rows = tree.query(np.column_stack([100.0 * np.asarray(hkl), coordinate]))
    assert distance.max() < 0.01
    return rows


def export(experiments, table, tmp_path, **params):
    result = spindle.run("export", experiments, table, **params)
    written = {}
    for name, writer in result.files.items():
        path = tmp_path / name.replace("/", "_")
        writer(path)
        written[name] = path
    return written


def test_unmerged_mtz_gives_back_indices_positions_and_intensities(data, tmp_path):
    experiments, table = data
    path = export(experiments, table, tmp_path)["integrated.mtz"]
    mtz = gemmi.read_mtz_file(str(path))
    assert mtz.spacegroup.hm == "P 43 21 2" and len(mtz.batches) == 60
    assert mtz.column_labels()[:9] == ["H", "K", "L", "M/ISYM", "BATCH", "IPR", "SIGIPR", "I", "SIGI"]
    np.testing.assert_allclose(mtz.datasets[0].wavelength, 1.0)
    mtz.switch_to_original_hkl()
    columns = {c.label: np.array(c) for c in mtz.columns}
    rows = rows_of(table, np.stack([columns[c] for c in "HKL"], axis=1), columns["XDET"], 0)
    assert sorted(rows) == list(range(len(table)))
    np.testing.assert_allclose(columns["I"], (table["intensity.sum.value"] * table["lp"])[rows], rtol=1e-5)
    np.testing.assert_allclose(columns["IPR"], (table["intensity.prf.value"] * table["lp"])[rows], rtol=1e-5)
    np.testing.assert_array_equal(columns["BATCH"], np.clip(np.floor(table["xyzcal.px"][rows, 2]), 2, 61) + 1)
    np.testing.assert_allclose(columns["ROT"], np.rad2deg(table["xyzcal.mm"][rows, 2]), rtol=1e-5)


def test_batch_orientation_predicts_the_reflections(data, tmp_path):
    """From the header alone: U B h, turned by ROT about z, lies on the Ewald sphere of the source vector."""
    experiments, table = data
    mtz = gemmi.read_mtz_file(str(export(experiments, table, tmp_path)["integrated.mtz"]))
    mtz.switch_to_original_hkl()
    batch = mtz.batches[0]
    U = np.array([batch.floats[i] for i in range(6, 15)]).reshape(3, 3).T
    assert np.linalg.det(U) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(U @ U.T, np.eye(3), atol=1e-5)
    B = Crystal.from_cell([batch.floats[i] for i in range(6)]).B
    s0 = -np.array([batch.floats[i] for i in range(83, 86)]) / batch.floats[86]
    hkl = np.array(mtz.make_miller_array())
    rot = np.deg2rad(np.array(mtz.column_with_label("ROT")))
    for h, phi in list(zip(hkl, rot, strict=True))[::50]:
        s = s0 + rotation(np.array([0.0, 0, 1]), float(phi)) @ U @ B @ h
        assert np.linalg.norm(s) == pytest.approx(1.0, abs=2e-4)


def test_scaled_data_are_divided_by_their_scale(data, tmp_path):
    experiments, table = data
    n = len(table)
    table["inverse_scale_factor"] = np.full(n, 2.0)
    table["inverse_scale_factor_variance"] = np.zeros(n)
    table["intensity.scale.value"], table["intensity.scale.variance"] = np.full(n, 50.0), np.full(n, 16.0)
    table.set_flags(np.arange(n), Flag.SCALED)
    table.set_flags([0], Flag.OUTLIER_IN_SCALING)
    mtz = gemmi.read_mtz_file(str(export(experiments, table, tmp_path)["scaled.mtz"]))
    assert mtz.nreflections == n - 1
    np.testing.assert_allclose(np.array(mtz.column_with_label("I")), 25.0)
    np.testing.assert_allclose(np.array(mtz.column_with_label("SIGI")), 2.0)
    np.testing.assert_allclose(np.array(mtz.column_with_label("SCALEUSED")), 2.0)


def test_several_sweeps_get_batches_apart(data, tmp_path):
    experiments, table = data
    from dataclasses import replace

    second = table.view()
    second["id"] = np.ones(len(table), int)
    two = Experiments([experiments[0], replace(experiments[0], identifier="other")])
    both = ReflectionTable.concatenate([table, second.without()])
    mtz = gemmi.read_mtz_file(str(export(two, both, tmp_path)["integrated.mtz"]))
    assert [mtz.batches[0].number, mtz.batches[59].number, mtz.batches[60].number] == [3, 62, 101]


def test_xds_ascii_is_read_alike_by_gemmi(data, tmp_path):
    experiments, table = data
    path = export(experiments, table, tmp_path, format="xds_ascii")["XDS_ASCII.HKL"]
    found = gemmi.read_xds_ascii(str(path))
    assert found.spacegroup_number == 96 and found.wavelength == pytest.approx(1.0)
    np.testing.assert_allclose(found.cell_constants, [60, 60, 40, 90, 90, 90], atol=1e-3)
    order = rows_of(table, found.miller_array, found.zd_array, 2)
    np.testing.assert_allclose(found.iobs_array, (table["intensity.prf.value"] * table["lp"])[order], rtol=1e-4)
    assert "profile-fitted" in path.read_text()[:300]


def test_xds_ascii_header_gives_back_the_beam_centre(data, tmp_path):
    experiments, table = data
    text = export(experiments, table, tmp_path, format="xds_ascii")["XDS_ASCII.HKL"].read_text()
    words = {
        line[1:].split("=")[0]: line.split("=", 1)[1].split()
        for line in text.splitlines()
        if line.startswith("!") and "=" in line
    }
    orgx, _, orgy = words["ORGX"]
    distance = float(words["DETECTOR_DISTANCE"][0])
    s0 = np.array([float(v) for v in words["INCIDENT_BEAM_DIRECTION"]])
    at = np.array([float(orgx), float(orgy)]) + s0[:2] / s0[2] * distance / 0.172
    np.testing.assert_allclose(at, experiments[0].detector.beam_centre_px(experiments[0].beam.s0), atol=0.02)


def test_xparm_predicts_the_same_spots(data, tmp_path):
    """XPARM.XDS alone, read by its own rules, puts a reflection where prediction puts it (half a pixel further)."""
    experiments, table = data
    lines = export(experiments, table, tmp_path, format="xds")["xds/XPARM.XDS"].read_text().splitlines()
    numbers = [[float(v) for v in line.split()] for line in lines[1:]]
    _, start, width, *axis = numbers[0]
    s0 = np.array(numbers[1][1:])
    A = np.linalg.inv(np.array(numbers[3:6]))
    orgx, orgy, distance = numbers[7]
    assert (start, width) == (10.0, 0.5)
    axis = np.array(axis)
    for row in range(0, len(table), 60):
        s = s0 + rotation(axis / np.linalg.norm(axis), table["xyzcal.mm"][row, 2]) @ A @ table["miller_index"][row]
        xy = np.array([orgx, orgy]) + s[:2] / s[2] * distance / 0.172
        expected = table["xyzcal.mm"][row, :2] / 0.172 + 0.5
        np.testing.assert_allclose(xy, expected, atol=0.05)


def test_xds_inp_names_gaps_overload_and_template(data, tmp_path):
    experiments, table = data
    text = export(experiments, table, tmp_path, format="xds")["xds/XDS.INP"].read_text()
    assert "UNTRUSTED_RECTANGLE= 0 601 195 213" in text and "x_????.cbf" in text and "DATA_RANGE= 3 62" in text


def test_parts_of_a_reflection_are_added():
    table = ReflectionTable({
        "id": [0, 0, 0], "partial_id": [7, 8, 7], "partiality": [0.3, 1.0, 0.6], "flags": [768] * 3,
        "miller_index": [[1, 0, 0]] * 3,
        "intensity.sum.value": [30.0, 5.0, 60.0], "intensity.sum.variance": [1.0, 1.0, 2.0], "xyzobs.px.value": [[0, 0,
        1.0], [0, 0, 5], [0, 0, 4]],
    })  # fmt: skip
    whole = combine_parts(table, ["intensity.sum"])
    assert whole["partial_id"].tolist() == [7, 8]
    assert whole["intensity.sum.value"].tolist() == [90.0, 5.0]
    np.testing.assert_allclose(whole["xyzobs.px.value"][0, 2], (0.3 * 1 + 0.6 * 4) / 0.9)
    kept = prepare_intensities(table, "sum", partiality_threshold=0.95)
    assert len(kept) == 1 and "partiality" in next(iter(kept.dropped))


def test_data_without_the_intensity_asked_for_are_refused(data, tmp_path):
    experiments, table = data
    with pytest.raises(UserError, match="spindle scale"):
        spindle.run("export", experiments, table, intensity="scale")


def test_intensities_equal_those_that_dials_exports(tmp_path):
    """Quartz, scaled by DIALS: I = scale / g of the same 1,401 observations that DIALS wrote."""
    stem = shared_data("dials_processed") / "quartz_processed" / "scaled"
    data = prepare_intensities(read_reflections(f"{stem}.refl"), "scale")
    reference = stem.parents[3] / "design" / "spec" / "examples" / "quartz" / "scaled.mtz"
    if not reference.exists():
        pytest.skip(f"{reference.name} of DIALS is not here")
    mtz = gemmi.read_mtz_file(str(reference))
    assert len(data) == mtz.nreflections
    np.testing.assert_allclose(
        np.sort(data.values["scale"]), np.sort(np.array(mtz.column_with_label("I"))), rtol=1e-4, atol=1e-4
    )
    experiments = read_experiments(f"{stem}.expt")
    ours = gemmi.read_mtz_file(str(export(experiments, read_reflections(f"{stem}.refl"), tmp_path)["scaled.mtz"]))
    for i in range(156):
        assert ours.batches[0].floats[i] == pytest.approx(mtz.batches[0].floats[i], abs=2e-4), i


def test_spot_xds_lists_observed_centroids_with_their_indices(data, tmp_path):
    experiments, table = data
    lines = export(experiments, table, tmp_path, format="xds")["xds/SPOT.XDS"].read_text().splitlines()
    assert len(lines) == len(table)
    x, y, z, intensity, h, k, l = (float(v) for v in lines[7].split())
    np.testing.assert_allclose([x, y, z], table["xyzobs.px.value"][7], atol=0.006)
    assert intensity == pytest.approx(table["intensity.sum.value"][7], abs=0.01)
    assert [h, k, l] == table["miller_index"][7].tolist()
