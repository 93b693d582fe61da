"""Exporters: what is written is read alike by gemmi, in the right frame and with the right intensities."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Experiments, ImageSet, Scan
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle_lib_merging.intensities import combine_parts, prepare_intensities


def rows_of(table, hkl, coordinate, axis):
    """Rows of the table with these indices and this coordinate of the calculated position."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.column_stack([100.0 * table["miller_index"], table["xyzcal.px"][:, axis]]))
    distance, rows = tree.query(np.column_stack([100.0 * np.asarray(hkl), coordinate]))
    assert distance.max() < 0.01
    return rows


def test_unmerged_mtz_gives_back_indices_positions_and_intensities(data, export):
    experiments, table = data
    path = export(experiments, table)["integrated.mtz"]
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


def test_batch_orientation_predicts_the_reflections(data, export):
    """From the header alone: U B h, turned by ROT about z, lies on the Ewald sphere of the source vector."""
    experiments, table = data
    mtz = gemmi.read_mtz_file(str(export(experiments, table)["integrated.mtz"]))
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
        s = s0 + rotation_matrix(np.array([0.0, 0, 1]), float(phi)) @ U @ B @ h
        assert np.linalg.norm(s) == pytest.approx(1.0, abs=2e-4)


def test_scaled_data_are_divided_by_their_scale(data, export):
    experiments, table = data
    n = len(table)
    table["inverse_scale_factor"] = np.full(n, 2.0)
    table["inverse_scale_factor_variance"] = np.zeros(n)
    table["intensity.scale.value"], table["intensity.scale.variance"] = np.full(n, 50.0), np.full(n, 16.0)
    table.set_flags(np.arange(n), Flag.SCALED)
    table.set_flags([0], Flag.OUTLIER_IN_SCALING)
    mtz = gemmi.read_mtz_file(str(export(experiments, table)["scaled.mtz"]))
    assert mtz.nreflections == n - 1
    np.testing.assert_allclose(np.array(mtz.column_with_label("I")), 25.0)
    np.testing.assert_allclose(np.array(mtz.column_with_label("SIGI")), 2.0)
    np.testing.assert_allclose(np.array(mtz.column_with_label("SCALEUSED")), 2.0)


def test_several_sweeps_get_batches_apart(data, export):
    experiments, table = data
    second = table.view()
    second["id"] = np.ones(len(table), int)
    two = Experiments([experiments[0], replace(experiments[0], identifier="other")])
    both = ReflectionTable.concatenate([table, second.without()])
    mtz = gemmi.read_mtz_file(str(export(two, both)["integrated.mtz"]))
    assert [mtz.batches[0].number, mtz.batches[59].number, mtz.batches[60].number] == [3, 62, 101]


def test_xds_ascii_is_read_alike_by_gemmi(data, export):
    experiments, table = data
    path = export(experiments, table, format="xds_ascii")["XDS_ASCII.HKL"]
    found = gemmi.read_xds_ascii(str(path))
    assert found.spacegroup_number == 96 and found.wavelength == pytest.approx(1.0)
    np.testing.assert_allclose(found.cell_constants, [60, 60, 40, 90, 90, 90], atol=1e-3)
    order = rows_of(table, found.miller_array, found.zd_array, 2)
    np.testing.assert_allclose(found.iobs_array, (table["intensity.prf.value"] * table["lp"])[order], rtol=1e-4)
    assert "profile-fitted" in path.read_text()[:300]


def test_xds_ascii_header_gives_back_the_beam_centre(data, export):
    experiments, table = data
    text = export(experiments, table, format="xds_ascii")["XDS_ASCII.HKL"].read_text()
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


def test_xparm_predicts_the_same_spots(data, export):
    """XPARM.XDS alone, read by its own rules, puts a reflection where prediction puts it (half a pixel further)."""
    experiments, table = data
    lines = export(experiments, table, format="xds")["xds/XPARM.XDS"].read_text().splitlines()
    numbers = [[float(v) for v in line.split()] for line in lines[1:]]
    _, start, width, *axis = numbers[0]
    s0 = np.array(numbers[1][1:])
    A = np.linalg.inv(np.array(numbers[3:6]))
    orgx, orgy, distance = numbers[7]
    assert (start, width) == (10.0, 0.5)
    axis = np.array(axis)
    for row in range(0, len(table), 60):
        s = (
            s0
            + rotation_matrix(axis / np.linalg.norm(axis), table["xyzcal.mm"][row, 2]) @ A @ table["miller_index"][row]
        )
        xy = np.array([orgx, orgy]) + s[:2] / s[2] * distance / 0.172
        expected = table["xyzcal.mm"][row, :2] / 0.172 + 0.5
        np.testing.assert_allclose(xy, expected, atol=0.05)


def test_xds_inp_names_gaps_overload_and_template(data, export):
    experiments, table = data
    text = export(experiments, table, format="xds")["xds/XDS.INP"].read_text()
    assert "UNTRUSTED_RECTANGLE= 0 601 195 213" in text and "x_????.cbf" in text and "DATA_RANGE= 3 62" in text


def test_parts_of_a_reflection_are_added_and_fits_of_parts_averaged():
    table = ReflectionTable({
        "id": [0, 0, 0], "partial_id": [7, 8, 7], "partiality": [0.3, 1.0, 0.6], "flags": [768] * 3,
        "miller_index": [[1, 0, 0]] * 3,
        "intensity.sum.value": [30.0, 5.0, 60.0], "intensity.sum.variance": [1.0, 1.0, 2.0],
        "intensity.prf.value": [90.0, 5.0, 99.0], "intensity.prf.variance": [4.0, 1.0, 7.0], "xyzobs.px.value": [[0, 0,
        1.0], [0, 0, 5], [0, 0, 4]],
    })  # fmt: skip
    whole = combine_parts(table, ["intensity.sum", "intensity.prf"])
    assert whole["partial_id"].tolist() == [7, 8]
    assert whole["intensity.sum.value"].tolist() == [90.0, 5.0]
    np.testing.assert_allclose(whole["intensity.prf.value"], [(0.3 * 90 + 0.6 * 99) / 0.9, 5.0])
    np.testing.assert_allclose(whole["intensity.prf.variance"], [(0.3 * 4 + 0.6 * 7) / 0.9, 1.0])
    np.testing.assert_allclose(whole["xyzobs.px.value"][0, 2], (0.3 * 1 + 0.6 * 4) / 0.9)
    kept = prepare_intensities(table, "sum", partiality_threshold=0.95)
    assert len(kept) == 1 and "partiality" in next(iter(kept.dropped))


def test_data_without_the_intensity_asked_for_are_refused(data, tmp_path):
    experiments, table = data
    with pytest.raises(UserError, match="spindle scale"):
        spindle.run("export", experiments, table, intensity="scale")


def test_intensities_equal_those_that_dials_exports(export):
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
    ours = gemmi.read_mtz_file(str(export(experiments, read_reflections(f"{stem}.refl"))["scaled.mtz"]))
    for i in range(156):
        assert ours.batches[0].floats[i] == pytest.approx(mtz.batches[0].floats[i], abs=2e-4), i


def spots(text):
    return np.array([[float(v) for v in line.split()] for line in text.splitlines()])


def test_spot_xds_lists_strong_spots_by_falling_intensity_and_no_predictions(data, export):
    """XDS takes the spots in order and stops at an intensity below 1; predictions were not observed."""
    experiments, table = data
    rng = np.random.default_rng(3)
    table["intensity.sum.value"] = rng.uniform(-20.0, 200.0, len(table))
    strong = np.arange(0, len(table), 3)
    table.set_flags(strong, Flag.STRONG)
    usable = strong[table["intensity.sum.value"][strong] >= 1.0]
    found = spots(export(experiments, table, format="xds")["xds/SPOT.XDS"].read_text())
    assert len(found) == len(usable)
    assert found[:, 3].min() >= 1.0 and np.all(np.diff(found[:, 3]) <= 0)
    order = usable[np.argsort(-table["intensity.sum.value"][usable])]
    np.testing.assert_allclose(found[:, :3], table["xyzobs.px.value"][order], atol=0.006)
    np.testing.assert_array_equal(found[:, 4:], table["miller_index"][order])


def test_spot_xds_of_two_sweeps_holds_the_spots_that_nothing_explains(data, export):
    experiments, table = data
    two = Experiments([experiments[0], replace(experiments[0], imageset=ImageSet(template="/data/y_####.cbf"))])
    one = table.select(np.arange(40))
    one["imageset_id"] = np.repeat([0, 1], 20)
    one["id"] = np.where(np.arange(40) % 4 == 0, -1, one["imageset_id"])
    one["flags"] = np.full(40, int(Flag.STRONG))
    for k, template in enumerate("xy"):
        found = spots(export(two, one, format="xds")[f"xds_{k + 1}/SPOT.XDS"].read_text())
        assert len(found) == 20, template
        assert np.count_nonzero(~np.any(found[:, 4:], axis=1)) == 5, template


def test_predictions_alone_give_no_spot_xds(data, export):
    experiments, table = data
    assert "xds/SPOT.XDS" not in export(experiments, table, format="xds")


@pytest.mark.parametrize(
    ("ranges", "carried", "first"),
    [
        ([(0, 39), (0, 39)], [0, 0], [1, 101]),
        ([(0, 39)], [0], [1]),
        ([(1, 40), (1, 40)], [0, 0], [1, 101]),
        ([(1, 40), (41, 80)], [0, 0], [1, 41]),
        ([(0, 39), (40, 80)], [0, 0], [1, 101]),
        ([(5, 30), (5, 30), (900, 999)], [0, 0, 0], [5, 101, 900]),
        ([(1, 1800), (1, 1700), (1, 1700), (1, 1700)], [0] * 4, [1, 1901, 3701, 5501]),
        ([(1, 99), (1, 100), (1, 100)], [0] * 3, [1, 101, 301]),
        ([(1, 40), (1, 40)], [300, 500], [301, 501]),
        ([(0, 39), (0, 39)], [0, 20], [1, 101]),
        ([(2020010101, 2020010140)] * 2, [0, 0], [1, 101]),
    ],
)
def test_batches_are_positive_and_apart_whatever_the_images_are_called(data, ranges, carried, first, export):
    """Starts as DIALS chooses them; the batch is the image number and a constant of the sweep."""
    experiments, table = data
    sweeps, tables = [], []
    for k, (images, offset) in enumerate(zip(ranges, carried, strict=True)):
        n = images[1] - images[0] + 1
        scan = Scan(images, (0.0, 0.5), batch_offset=offset)
        sweeps.append(replace(experiments[0], scan=scan, identifier=f"sweep {k}"))
        rows = table.select(np.arange(min(n, 50)))
        rows["id"] = np.full(len(rows), k)
        rows["partial_id"] = np.arange(len(rows))
        position = rows["xyzcal.px"].copy()
        position[:, 0] = 100 * k
        position[:, 2] = images[0] - 1 + np.linspace(0.01, n - 0.01, len(rows))
        rows["xyzcal.px"] = position
        tables.append(rows)
    mtz = gemmi.read_mtz_file(str(export(Experiments(sweeps), ReflectionTable.concatenate(tables))["integrated.mtz"]))
    numbers = [b.number for b in mtz.batches]
    assert numbers == sorted(set(numbers)) and numbers[0] > 0
    batch, sweep = np.array(mtz.column_with_label("BATCH")), np.array(mtz.column_with_label("XDET")) // 100
    for k, (images, start) in enumerate(zip(ranges, first, strict=True)):
        assert batch[sweep == k].min() == start
        assert batch[sweep == k].max() == start + images[1] - images[0]
        assert {start, start + images[1] - images[0]} <= set(numbers)


def test_the_user_sees_space_group_batches_and_columns_of_the_file(data, tmp_path):
    experiments, table = data
    result = spindle.run("export", experiments, table)
    found = {t.key: t for t in result.tables}
    path = tmp_path / "integrated.mtz"
    result.files["integrated.mtz"](path)
    mtz = gemmi.read_mtz_file(str(path))
    columns = found["mtz_columns"]
    assert columns.column("label") == mtz.column_labels()
    np.testing.assert_allclose(
        [float(v) for v in columns.column("max")], [np.array(c).max() for c in mtz.columns], rtol=1e-4
    )
    assert found["mtz_batches"].column("batches") == ["3-62"]
    assert sum(found["mtz_batches"].column("observations")) == mtz.nreflections


def test_lattices_of_one_sweep_and_wavelengths_keep_apart(data, export):
    """Two lattices in the same images at one wavelength, and one of them at another: three ranges, two data sets."""
    experiments, table = data
    first = experiments[0]
    turned = replace(first.crystal, A=rotation_matrix(np.array([0.0, 0, 1]), 0.2) @ first.crystal.A)
    three = Experiments([
        first, replace(first, crystal=turned, identifier="second"),
        replace(first, beam=Beam([0, 0, 1], 0.95), identifier="third"),
    ])  # fmt: skip
    tables = []
    for k in range(3):
        rows = table.select(np.arange(k, 300, 3))
        rows["id"] = np.full(100, k)
        rows["partial_id"] = np.arange(100)
        tables.append(rows)
    mtz = gemmi.read_mtz_file(str(export(three, ReflectionTable.concatenate(tables))["integrated.mtz"]))
    assert [round(d.wavelength, 4) for d in mtz.datasets] == [1.0, 0.95]
    datasets = {b.number: b.dataset_id for b in mtz.batches}
    batch = np.array(mtz.column_with_label("BATCH")).astype(int)
    for k, dataset in enumerate((1, 1, 2)):
        start = (3, 101, 201)[k]
        inside = (batch >= start) & (batch < start + 60)
        assert inside.sum() == 100
        assert {datasets[b] for b in batch[inside]} == {dataset}
    U = [np.array([b.floats[i] for i in range(6, 15)]) for b in mtz.batches]
    assert np.abs(U[0] - U[60]).max() > 0.1
    np.testing.assert_allclose(U[0], U[120], atol=1e-6)


@pytest.mark.parametrize("kind", ["mtz", "xds_ascii", "xds"])
def test_one_reflection_in_one_of_two_sweeps(data, kind, export):
    experiments, table = data
    two = Experiments([experiments[0], replace(experiments[0], identifier="other")])
    one = table.select(np.array([5]))
    one.set_flags([0], Flag.STRONG)
    written = export(two, one, format=kind)
    if kind == "mtz":
        mtz = gemmi.read_mtz_file(str(written["integrated.mtz"]))
        assert mtz.nreflections == 1 and len(mtz.batches) == 120
    elif kind == "xds_ascii":
        assert list(written) == ["XDS_ASCII_1.HKL"]
        assert len(gemmi.read_xds_ascii(str(written["XDS_ASCII_1.HKL"])).iobs_array) == 1
    else:
        assert "xds_1/SPOT.XDS" in written and "xds_2/SPOT.XDS" not in written and "xds_2/XDS.INP" in written


@pytest.mark.parametrize("kind", ["mtz", "xds_ascii"])
def test_no_reflection_at_all_is_an_error_of_the_user(data, kind):
    experiments, table = data
    with pytest.raises(UserError, match="no reflection"):
        spindle.run("export", experiments, table.select(np.array([], dtype=int)), format=kind)


def test_sweeps_of_one_crystal_are_reindexed_alike(data, export):
    """The choice among equivalent reference cells is made once: cells that differ a little stay indexed alike."""
    experiments, table = data
    cells = ([14.1, 9.74, 14.12, 90, 90.02, 90], [14.12, 9.74, 14.1, 90, 90.02, 90])
    two = Experiments([
        replace(experiments[0], crystal=Crystal.from_cell(cell, np.eye(3), "I 1 2 1"), identifier=str(k))
        for k, cell in enumerate(cells)
    ])  # fmt: skip
    even = table.select(table["miller_index"].sum(axis=1) % 2 == 0).select(np.arange(60))
    both = []
    for k in range(2):
        rows = even.view()
        rows["id"] = np.full(60, k)
        both.append(rows)
    written = export(two, ReflectionTable.concatenate(both), format="xds_ascii")
    found = [gemmi.read_xds_ascii(str(path)) for path in written.values()]
    order = [np.lexsort((f.zd_array, f.xd_array)) for f in found]
    np.testing.assert_array_equal(found[0].miller_array[order[0]], found[1].miller_array[order[1]])


#: Beside those of data with a profile model, and of a package that is not everywhere.
EXPORTERS = sorted({*spindle.plugins.registry().names("exporter")} - {"best", "parquet"})


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_export_ends_with_what_to_do_next(data, name):
    experiments, table = data
    table = table.select(np.arange(50))
    table["background.mean"] = np.ones(50)
    result = spindle.run("export", experiments, table, format=name)
    folder, _, file = next(iter(result.files)).rpartition("/")
    assert (folder or file.partition(".")[0]) in result.next_step
