"""The exporter passes the contract of its slot; its points are the reciprocal lattice of the models in the file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

import spindle
from spindle.files import experiments_from_dict
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle.testing.exporter import ExporterContract, integrated_data


class TestJsonExporter(ExporterContract):
    name = "json"
    holds_intensities = False


def content(tmp_path, experiments, table, **params):
    (writer,) = spindle.run("export", experiments, table, format="json", **params).files.values()
    writer(tmp_path / "rlp.json")
    return json.loads((tmp_path / "rlp.json").read_text())


def test_points_are_the_indices_times_the_crystal_of_the_file(tmp_path):
    experiments, table = integrated_data()
    found = content(tmp_path, experiments, table, n_digits=None)
    points = np.array(found["rlp"]).reshape(-1, 3)
    crystal = experiments_from_dict(found["experiments"])[0].crystal
    np.testing.assert_allclose(points @ np.linalg.inv(crystal.A).T, table["miller_index"], atol=0.02)
    assert set(found["experiment_id"]) == {0}
    rounded = content(tmp_path, experiments, table, n_digits=2)
    assert max(abs(100 * v - round(100 * v)) for v in rounded["rlp"]) < 1e-9


def test_spots_of_no_crystal_are_there_with_the_geometry_of_their_sweep(tmp_path):
    experiments, table = integrated_data()
    far = replace(
        experiments[0], identifier="b", imageset=replace(experiments[0].imageset, template="/data/y_####.cbf"),
        beam=replace(experiments[0].beam, wavelength=2.0), scan=replace(experiments[0].scan),
    )  # fmt: skip
    both = Experiments([experiments[0], far])
    rows = ReflectionTable({
        "id": [0, -1, -1, -1], "imageset_id": [0, 0, 1, 7], "panel": [0] * 4,
        "xyzobs.px.value": np.repeat(table["xyzobs.px.value"][:1], 4, axis=0),
    })  # fmt: skip
    found = content(tmp_path, both, rows, compact=False)
    points = np.array(found["rlp"]).reshape(-1, 3)
    assert found["experiment_id"] == [0, -1, -1] and found["imageset_id"] == [0, 0, 1]
    np.testing.assert_allclose(points[0], points[1])
    np.testing.assert_allclose(points[2], 0.5 * points[0], atol=2e-6)
