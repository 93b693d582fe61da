"""The exporter passes the contract of its slot; its columns are read back and what they say is checked against the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import spindle
from spindle.geometry import rotation_matrix
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, telling_data

WIDTHS = [4, 4, 4, 8, 8, 4] + [8] * 6 + [7, 7, 8, 7, 5]


def rows_of(path):
    """Numbers by columns of fixed width."""
    ends = np.cumsum(WIDTHS)
    return np.array(
        [[float(line[e - w : e]) for e, w in zip(ends, WIDTHS, strict=True)] for line in path.read_text().splitlines()]
    ).reshape(-1, len(WIDTHS))


class TestSadabsExporter(ExporterContract):
    name = "sadabs"

    def read_back(self, paths: list[Path]) -> ReadBack:
        first = (2, 100)
        rows, images = [], []
        for path in paths:
            found = rows_of(path)
            run = int(found[0, 5])
            rows.append(found)
            images.append(found[:, 14] + first[run - 1])
        joined = np.concatenate(rows)
        return ReadBack(joined[:, :3].astype(int), joined[:, 3], joined[:, 4], np.concatenate(images))


def exported(tmp_path, experiments, table, **params):
    result = spindle.run("export", experiments, table, format="sadabs", **params)
    paths = {}
    for name, writer in result.files.items():
        paths[name] = tmp_path / name
        writer(paths[name])
    return paths


def test_direction_cosines_place_and_resolution_are_those_of_the_models(tmp_path):
    """One reflection after the other, from the models by hand."""
    experiments, table = integrated_data()
    experiment = experiments[0]
    rows = rows_of(exported(tmp_path, experiments, table, predict=True)["integrated.sad"])
    goniometer, s0 = experiment.goniometer, experiment.beam.s0
    hkl = table["miller_index"]
    frame = table["xyzcal.px"][:, 2] - 2
    for row in rows[::25]:
        h = row[:3]
        (at,) = np.flatnonzero(np.all(hkl == h, axis=1) & (np.abs(frame - row[14]) < 0.006))
        x, y, phi = table["xyzcal.mm"][at]
        A = rotation_matrix(goniometer.axis_lab, float(phi)) @ experiment.crystal.A
        s1 = s0 + A @ h
        assert (
            np.linalg.norm(s1) * experiment.beam.wavelength == np.float64(1).item()
            or abs(np.linalg.norm(s1) * experiment.beam.wavelength - 1) < 1e-6
        )
        stars = A / np.linalg.norm(A, axis=0)
        expected = np.stack([-s0 / np.linalg.norm(s0) @ stars, s1 / np.linalg.norm(s1) @ stars], axis=1).ravel()
        np.testing.assert_allclose(row[6:12], expected, atol=1.1e-5)
        np.testing.assert_allclose(row[12:14], [512 * x / (600 * 0.172), 512 * y / (610 * 0.172)], atol=0.006)
        np.testing.assert_allclose(row[14], (np.rad2deg(phi) - 10) / 0.5, atol=0.006)
        np.testing.assert_allclose(row[16], 1e4 * np.linalg.norm(A @ h) / 2, atol=0.51)


def test_sums_are_written_of_unscaled_data_and_runs_follow(tmp_path):
    experiments, table = telling_data()
    table = table.without("intensity.scale.value", "inverse_scale_factor")
    paths = exported(tmp_path, experiments, table, **{"sadabs.run": 4})
    assert sorted(paths) == ["integrated_1.sad", "integrated_2.sad"]
    for run, path in zip((4, 5), paths.values(), strict=True):
        rows = rows_of(path)
        assert set(rows[:, 5]) == {run}
        np.testing.assert_allclose(rows[:, 3], 4000 + rows[:, :3] @ [100, 10, 1], rtol=1e-5)


def test_large_intensities_are_scaled_into_their_columns(tmp_path):
    experiments, table = integrated_data()
    table["intensity.sum.value"] = 1e4 * table["intensity.sum.value"]
    table["intensity.sum.variance"] = 1e4 * table["intensity.sum.variance"]
    rows = rows_of(exported(tmp_path, experiments, table)["integrated.sad"])
    assert rows[:, 3].max() == 99999.0
