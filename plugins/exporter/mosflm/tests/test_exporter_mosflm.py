"""The exporter passes the contract of its slot; its matrix predicts what the models predict."""

from __future__ import annotations

import gemmi
import numpy as np

import spindle
from spindle.geometry import rotation_matrix
from spindle.testing.exporter import ExporterContract, integrated_data


class TestMosflmExporter(ExporterContract):
    name = "mosflm"
    holds_intensities = False


def test_the_matrix_puts_reflections_on_the_ewald_sphere(tmp_path):
    """MOSFLM's frame: x along the beam, z as nearly along the axis as can be; here exactly."""
    experiments, table = integrated_data()
    files = {}
    for name, writer in spindle.run("export", experiments, None, format="mosflm").files.items():
        files[name] = tmp_path / name.replace("/", "_")
        writer(files[name])
    lines = files["mosflm/index.mat"].read_text().splitlines()
    numbers = [[float(v) for v in line.split()] for line in lines]
    A, U = np.array(numbers[:3]), np.array(numbers[4:7])
    cell = gemmi.UnitCell(*numbers[7])
    np.testing.assert_allclose(numbers[7], experiments[0].crystal.cell, atol=1e-4)
    np.testing.assert_allclose(U @ U.T, np.eye(3), atol=1e-6)
    metric = np.array(cell.reciprocal_metric_tensor().as_mat33().tolist())
    np.testing.assert_allclose(U @ np.linalg.cholesky(metric).T, A, atol=1e-6)
    for row in range(0, len(table), 50):
        turn = rotation_matrix(np.array([0.0, 0, 1]), float(table["xyzcal.mm"][row, 2]))
        s = np.array([1.0, 0, 0]) + turn @ A @ table["miller_index"][row]
        assert abs(np.linalg.norm(s) - 1) < 1e-5
    text = files["mosflm/mosflm.in"].read_text()
    assert "TEMPLATE x_####.cbf" in text and "SYMMETRY 75" in text and "DISTANCE 90.0000" in text
    fast, slow = experiments[0].detector.beam_centre(experiments[0].beam.s0)[1]
    assert f"BEAM {slow:.3f} {fast:.3f}" in text
