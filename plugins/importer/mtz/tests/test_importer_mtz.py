"""The importer passes the contract of its slot; what was exported comes back, geometry and all."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError
from spindle.models import Beam, Experiments
from spindle.prediction import lorentz_polarisation, predict_static
from spindle.table import Flag, ReflectionTable
from spindle.testing.exporter import integrated_data, merged_data
from spindle.testing.importer import ImporterContract


def written(folder, experiments, table, **params):
    (writer,) = spindle.run("export", experiments, table, **params).files.values()
    writer(folder / "a.mtz")
    return folder / "a.mtz"


class TestMtzImporter(ImporterContract):
    name = "mtz"

    @pytest.fixture
    def result_file(self, tmp_path):
        return written(tmp_path, *integrated_data())


def sweeps():
    """Two sweeps of different wavelengths and angles, the beam off the normal, without parallax, the second crystal varying."""
    base, _ = integrated_data()
    panel = replace(base[0].detector[0], parallax="none")
    first = replace(base[0], detector=type(base[0].detector)([panel]), beam=Beam([0.02, -0.01, 1.0], 1.0))
    points = first.crystal.A * (1 + 1e-4 * np.arange(31))[:, None, None]
    second = replace(
        first, identifier="second", scan=replace(first.scan, image_range=(1, 30), oscillation_deg=(60.0, 0.5)),
        beam=Beam([0.02, -0.01, 1.0], 1.1), crystal=replace(first.crystal, A_at_scan_points=points),
    )  # fmt: skip
    experiments = Experiments([first, second])
    tables = []
    for i, experiment in enumerate(experiments):
        from spindle.prediction import predict

        table = predict_static(experiment, d_min=4.0) if i == 0 else predict(experiment, d_min=4.0)
        n = len(table)
        table["id"], table.identifiers = np.full(n, i), {i: experiment.identifier}
        table["lp"] = lorentz_polarisation(experiment.beam, experiment.goniometer, table["s1"])
        table["d"] = 1 / np.linalg.norm(table["s1"] - experiment.beam.s0, axis=1)
        table["xyzobs.px.value"] = table["xyzcal.px"]
        for kind, factor in (("sum", 1.0), ("prf", 1.5)):
            table[f"intensity.{kind}.value"] = factor * (100.0 + np.arange(n))
            table[f"intensity.{kind}.variance"] = table[f"intensity.{kind}.value"]
        table["partiality"] = np.linspace(0.8, 1.0, n)
        table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF)
        tables.append(table)
    table = ReflectionTable.concatenate(tables)
    table["partial_id"] = np.arange(len(table))
    return experiments, table


@pytest.fixture(scope="module")
def data():
    return sweeps()


def matched(found, table):
    """Rows of both in the same order."""
    from scipy.spatial import cKDTree

    points = [np.column_stack([1e4 * t["id"], 200.0 * t["miller_index"], t["xyzcal.px"]]) for t in (found, table)]
    distance, rows = cKDTree(points[1]).query(points[0])
    assert distance.max() < 0.05
    return rows


def test_sweeps_geometry_and_measured_intensities_come_back(data, tmp_path):
    experiments, table = data
    done = spindle.run("import", files=[written(tmp_path, experiments, table)])
    found = done.reflections
    assert len(done.experiments) == 2 and len(found) == len(table)
    rows = matched(found, table)
    assert sorted(rows) == list(range(len(table)))
    np.testing.assert_array_equal(found["miller_index"], table["miller_index"][rows])
    for kind in ("sum", "prf"):
        for part in ("value", "variance"):
            np.testing.assert_allclose(
                found[f"intensity.{kind}.{part}"], table[f"intensity.{kind}.{part}"][rows], rtol=2e-6
            )
    np.testing.assert_allclose(found["xyzcal.px"], table["xyzcal.px"][rows], atol=2e-3)
    np.testing.assert_allclose(found["d"], table["d"][rows], rtol=1e-5)
    for new, old in zip(done.experiments, experiments, strict=True):
        assert new.beam.wavelength == pytest.approx(old.beam.wavelength, abs=1e-6)
        np.testing.assert_allclose(new.crystal.cell, old.crystal.cell, rtol=2e-3)
        np.testing.assert_allclose(new.scan.oscillation_deg, old.scan.oscillation_deg, atol=1e-4)
        np.testing.assert_allclose(new.detector[0].pixel_size, 0.172, rtol=2e-4)
        assert new.detector[0].image_size == (600, 610)
    cells = done.experiments[1].crystal.cells_at_scan_points
    np.testing.assert_allclose(cells, experiments[1].crystal.cells_at_scan_points, rtol=1e-5)


def test_the_models_predict_the_reflections(data, tmp_path):
    experiments, table = data
    done = spindle.run("import", files=[written(tmp_path, experiments, table)])
    again = predict_static(done.experiments[0], d_min=4.0)
    from scipy.spatial import cKDTree

    first = table.select(table["id"] == 0)
    points = [np.column_stack([200.0 * t["miller_index"], t["xyzcal.px"]]) for t in (again, first)]
    distance, _ = cKDTree(points[0]).query(points[1])
    assert np.mean(distance < 0.03) > 0.99


def test_scaled_data_come_back_with_their_scales(data, tmp_path):
    experiments, table = data
    n = len(table)
    table = table.view()
    table["intensity.scale.value"], table["intensity.scale.variance"] = 10.0 + np.arange(n), np.full(n, 9.0)
    table["inverse_scale_factor"] = np.linspace(0.5, 2.0, n)
    table["inverse_scale_factor_variance"] = np.full(n, 1e-4)
    table.set_flags(np.arange(n), Flag.SCALED)
    done = spindle.run("import", files=[written(tmp_path, experiments, table)])
    rows = matched(done.reflections, table)
    for name in ("intensity.scale.value", "intensity.scale.variance", "inverse_scale_factor"):
        np.testing.assert_allclose(done.reflections[name], table[name][rows], rtol=1e-5)
    merged = spindle.run("merge", done.experiments, done.reflections, assess_space_group=False)
    assert merged.summary["n_observations"] == np.count_nonzero(table["id"] == 0)  # of the first wavelength


def spoiled(path, value):
    """Put a number into the index of the third row."""
    mtz = gemmi.read_mtz_file(str(path))
    content = np.array(mtz.array)
    content[2, 0] = value
    mtz.set_data(content)
    mtz.write_to_file(str(path))


@pytest.mark.parametrize("value", [0.5, np.nan, 2.0**31, -1e30])
def test_what_is_no_index_is_a_message(data, tmp_path, value):
    path = written(tmp_path, *data)
    spoiled(path, value)
    with pytest.raises(FileFormatError, match=rf"{path.name}: reflection 3: whole indices within 500000 expected"):
        spindle.run("import", files=[path])


def test_merged_files_are_rows_without_places_and_files_without_orientation_are_refused(data, tmp_path):
    path = tmp_path / "merged.mtz"
    from spindle.testing.data import make_context

    merged = make_context().algorithm("exporter", "mtz").export_merged(merged=merged_data(), path="merged.mtz")
    next(iter(merged.files.values()))(path)
    done = spindle.run("import", files=[path])
    assert done.reflections["miller_index"].tolist() == [[0, 0, 4], [1, 0, 0], [1, 1, 0]]  # one value is missing
    np.testing.assert_allclose(done.reflections["intensity.scale.value"], [40, 10, 20])
    assert done.experiments[0].crystal.space_group.hm == "P 4" and not done.reflections["xyzcal.px"].any()
    spoiled(path, 2.0**31)
    with pytest.raises(FileFormatError, match=r"merged\.mtz: reflection 3: whole indices within 500000 expected"):
        spindle.run("import", files=[path])
    mtz = gemmi.read_mtz_file(str(written(tmp_path, *data)))
    for batch in mtz.batches:
        for i in range(6, 15):
            batch.floats[i] = 0.0
    mtz.write_to_file(str(path))
    with pytest.raises(FileFormatError, match="orientation"):
        spindle.run("import", files=[path])
