"""The importer passes the contract of its slot; what was exported comes back: intensities, orientations, detectors."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError
from spindle.models import Beam, Detector, Experiments, Goniometer, Scan
from spindle.prediction import lorentz_polarisation, predict_static
from spindle.table import Flag, ReflectionTable
from spindle.testing.data import make_context
from spindle.testing.exporter import integrated_data, merged_data, telling_data
from spindle.testing.importer import ImporterContract

EXAMPLES = Path(__file__).resolve().parents[5] / "shared" / "design" / "spec" / "examples"


def written(path, experiments, table, **params):
    (writer,) = spindle.run("export", experiments, table, format="mmcif", **params).files.values()
    writer(path)
    return path


def imported(path, **params):
    return spindle.run("import", files=[path], **{"importer.name": "mmcif", **params})


class TestArchive(ImporterContract):
    name = "mmcif"

    @pytest.fixture
    def result_file(self, tmp_path):
        return written(tmp_path / "a.cif", *telling_data())


class TestNext(ImporterContract):
    name = "mmcif"

    @pytest.fixture
    def result_file(self, tmp_path):
        return written(tmp_path / "a.cif", *integrated_data(), pdb_version="v5_next", intensity="profile+sum")


def merged_file(folder):
    made = make_context().algorithm("exporter", "mmcif").export_merged(merged=merged_data(), path="m.cif")
    next(iter(made.files.values()))(folder / "m.cif")
    return folder / "m.cif"


class TestMerged(ImporterContract):
    name = "mmcif"

    @pytest.fixture
    def result_file(self, tmp_path):
        return merged_file(tmp_path)


def two_sweeps(axis, tilt):
    """Two sweeps about an axis in the laboratory, the beam `tilt` off its normal, each with an orientation of its own."""
    base, _ = integrated_data()
    along = np.asarray(axis, float)
    across = np.cross([0.1, 0.2, 1.0], along)
    across /= np.linalg.norm(across)
    detector = Detector([replace(base[0].detector[0], parallax="none", thickness=0.0, mu=0.0)])
    direction = np.array([0.0, 0.0, 1.0])
    direction = direction - (direction @ along) * along
    direction = direction / np.linalg.norm(direction) + tilt * along
    experiments, tables = [], []
    for i, (start, wavelength) in enumerate(((10.0, 1.0), (-40.0, 1.1))):
        experiment = replace(
            base[0], detector=detector, goniometer=Goniometer(along), beam=Beam(direction, wavelength), identifier=f"s{i}",
            scan=Scan((1 + 4 * i, 60 + 4 * i), (start, 0.25)),
        )  # fmt: skip
        table = predict_static(experiment, d_min=4.0)
        n = len(table)
        table["id"], table.identifiers = np.full(n, i), {i: experiment.identifier}
        table["lp"] = lorentz_polarisation(experiment.beam, experiment.known_goniometer, table["s1"])
        table["d"] = 1 / np.linalg.norm(table["s1"] - experiment.beam.s0, axis=1)
        table["xyzobs.px.value"] = table["xyzcal.px"]
        for kind, factor in (("sum", 1.0), ("prf", 1.5)):
            table[f"intensity.{kind}.value"] = factor * (100.0 + np.arange(n)) / table["lp"]
            table[f"intensity.{kind}.variance"] = table[f"intensity.{kind}.value"]
        table["partiality"] = np.linspace(0.9, 1.0, n)
        table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF)
        experiments.append(experiment)
        tables.append(table)
    table = ReflectionTable.concatenate(tables)
    table["partial_id"] = np.arange(len(table), dtype=np.uint64)
    return Experiments(experiments), table


@pytest.mark.parametrize("version", ["v5", "v5_next"])
@pytest.mark.parametrize(("axis", "tilt"), [((0.8, 0.6, 0.0), 0.0), ((0.0, 1.0, 0.0), 0.02)])
def test_orientation_scan_and_detector_follow_from_indices_angles_and_positions(tmp_path, version, axis, tilt):
    experiments, table = two_sweeps(axis, tilt)
    path = written(tmp_path / "a.cif", experiments, table, pdb_version=version, intensity="profile", compress="gz")
    done = imported(tmp_path / "a.cif.gz" if not path.exists() else path, **{"importer.mmcif.distance": 90.0})
    assert len(done.experiments) == 2 and len(done.reflections) == len(table)
    np.testing.assert_array_equal(done.reflections["miller_index"], table["miller_index"])
    for i, (new, old) in enumerate(zip(done.experiments, experiments, strict=True)):
        assert new.scan.image_range == old.scan.image_range and new.beam.wavelength == old.beam.wavelength
        np.testing.assert_allclose(new.scan.oscillation_deg, old.scan.oscillation_deg, atol=1e-6)
        assert new.crystal.space_group.hm == "P 4"
        # the frame is another one: what lies along beam and axis is the same
        for a, b in ((old.beam.s0, new.beam.s0), (old.known_goniometer.axis_lab, new.known_goniometer.axis_lab)):
            np.testing.assert_allclose(b @ new.crystal.A, a @ old.crystal.A, atol=3e-5)
        again = predict_static(new, d_min=4.05)
        from scipy.spatial import cKDTree

        rows = (table["id"] == i) & (table["d"] > 4.1)
        points = [table["miller_index"][rows] * 50.0, again["miller_index"] * 50.0]
        angles = [t["xyzcal.px"][:, 2] for t in (table.select(rows), again)]
        there = [np.column_stack(pair) for pair in zip(points, angles, strict=True)]
        distance, nearest = cKDTree(there[1]).query(there[0])
        assert np.mean(distance < 0.02) > 0.99
        if version == "v5":
            off = again["xyzcal.px"][nearest][distance < 0.02] - table["xyzcal.px"][rows][distance < 0.02]
            assert np.sqrt(np.mean(off[:, :2] ** 2)) < 0.05
            np.testing.assert_allclose(new.detector[0].pixel_size, 0.172, rtol=1e-3)


def test_unscaled_intensities_come_back_to_the_digits_of_the_file(tmp_path):
    experiments, table = two_sweeps((0.8, 0.6, 0.0), 0.0)
    path = written(tmp_path / "a.cif", experiments, table, pdb_version="v5_next", intensity="profile+sum")
    found = imported(path).reflections
    for kind, part in (("prf", 1.0), ("sum", table["partiality"])):
        wanted = table[f"intensity.{kind}.value"] * table["lp"] / (part if kind == "sum" else 1.0)
        np.testing.assert_allclose(found[f"intensity.{kind}.value"] / part, wanted, rtol=1e-4)
    for intensity, kind in (("profile", "prf"), ("sum", "sum")):
        found = imported(written(tmp_path / "b.cif", experiments, table, intensity=intensity)).reflections
        assert (
            f"intensity.{kind}.value" in found and len({"intensity.prf.value", "intensity.sum.value"} & set(found)) == 1
        )


@pytest.mark.parametrize("version", ["v5", "v5_next"])
def test_scaled_intensities_come_back_with_their_scales(tmp_path, version):
    experiments, table = telling_data()
    done = imported(written(tmp_path / "a.cif", experiments, table, pdb_version=version))
    found = done.reflections
    assert found.has_flags(Flag.SCALED).all() and set(found["id"]) == {0, 1}
    np.testing.assert_allclose(found["inverse_scale_factor"], np.where(found["id"] == 0, 2.0, 4.0), rtol=1e-4)
    value = 2.5 * (4000.0 + found["miller_index"] @ np.array([100.0, 10.0, 1.0]))
    np.testing.assert_allclose(found["intensity.scale.value"] / found["inverse_scale_factor"], value, rtol=1e-4)
    np.testing.assert_allclose(
        np.sqrt(found["intensity.scale.variance"]) / found["inverse_scale_factor"], 0.03 * value, rtol=1e-3
    )


def test_a_file_that_gemmi_made_of_merged_mtz_is_read_mates_and_all(tmp_path):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
    mtz.set_cell_for_all(gemmi.UnitCell(40, 50, 60, 90, 90, 90))
    mtz.add_dataset("native").wavelength = 0.9
    for label, kind in (
        ("IMEAN", "J"),
        ("SIGIMEAN", "Q"),
        ("I(+)", "K"),
        ("SIGI(+)", "M"),
        ("I(-)", "K"),
        ("SIGI(-)", "M"),
    ):
        mtz.add_column(label, kind)
    rows = [[1, 2, 3, 15, 1, 10, 1, 20, 2], [0, 2, 3, 7, 1, 7, 1, 7, 1], [2, 3, 4, 30, 3, np.nan, np.nan, 30, 3]]
    mtz.set_data(np.array(rows, dtype=np.float32))
    path = tmp_path / "m.cif"
    path.write_text(gemmi.MtzToCif().write_cif_to_string(mtz))
    mtz.write_to_file(str(tmp_path / "m.mtz"))
    for done in (imported(path), spindle.run("import", files=[tmp_path / "m.mtz"])):
        found, (experiment,) = done.reflections, done.experiments
        assert experiment.crystal.space_group.hm == "P 21 21 21" and experiment.beam.wavelength == pytest.approx(0.9)
        rows = sorted(zip(found["miller_index"].tolist(), found["intensity.scale.value"].tolist(), strict=True))
        # (0, 2, 3) is centric: its mate is itself
        assert rows == [([-2, -3, -4], 30.0), ([-1, -2, -3], 20.0), ([0, 2, 3], 7.0), ([1, 2, 3], 10.0)]


def test_a_file_without_angles_is_read_and_says_so(tmp_path):
    document = gemmi.cif.read(str(written(tmp_path / "a.cif", *telling_data())))
    block = document.sole_block()
    loop = block.find_loop("_diffrn_refln.pdbx_scan_angle").get_loop()
    loop.remove_column("_diffrn_refln.pdbx_scan_angle")
    block.find_pair("_symmetry.Int_Tables_number")
    for tag in ("_symmetry.space_group_name_H-M", "_symmetry.Int_Tables_number", "_cell.entry_id"):
        block.find([tag]).erase()
    document.write_file(str(tmp_path / "b.cif"))
    plugin = make_context().algorithm("importer", "mmcif")
    done = plugin.import_results(path=tmp_path / "b.cif")
    notes = " ".join(done.notes)
    assert "no rotation angles" in notes and "space group" in notes
    np.testing.assert_allclose(
        done.reflections["d"],
        1 / np.linalg.norm(done.reflections["miller_index"] @ done.experiments[0].crystal.A.T, axis=1),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("_cell.length_b", "_cell.other"), "has no cell"),
        (lambda t: t.replace("_diffrn_refln.intensity_net", "_diffrn_refln.other"), "no intensities"),
        (lambda t: t.replace("_diffrn_refln.index_k", "_diffrn_refln.other"), "index_k"),
        (lambda t: re.sub(r"^(1 1 \S+ \S+ \S+) ", r"\1 x", t, count=1, flags=re.MULTILINE), "no number"),
        (
            lambda t: re.sub(r"^(1 1 \S+ \S+) \S+ ", r"\1 600000 ", t, count=1, flags=re.MULTILINE),
            "reflection 1: whole indices within 500000",
        ),
        (lambda t: t[:-20], "cut short|tokens|expected"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    path = written(tmp_path / "a.cif", *telling_data())
    path.write_text(change(path.read_text()))
    with pytest.raises(FileFormatError, match=message) as raised:
        imported(path)
    assert "a.cif" in str(raised.value)


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples that DIALS wrote are not here")
def test_scaled_data_that_dials_wrote_are_read():
    done = imported(EXAMPLES / "quartz" / "scaled.cif", **{"importer.mmcif.space_group": "P 31 2 1"})
    found, (experiment,) = done.reflections, done.experiments
    assert len(found) == 1396 and experiment.scan.image_range == (1, 100)
    np.testing.assert_allclose(experiment.crystal.cell[:3], [4.924887, 4.924887, 5.401371], atol=1e-5)
    np.testing.assert_allclose(found["intensity.scale.value"][5] / found["inverse_scale_factor"][5], 8.390, atol=2e-3)
    statistics = spindle.run("merge", done.experiments, found, assess_space_group=False).summary
    assert statistics["n_observations"] == 1396
