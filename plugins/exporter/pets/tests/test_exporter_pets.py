"""The exporter passes the contract of its slot; gemmi reads its files, and frames are checked one by one."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ParameterError
from spindle.geometry import rotation_matrix
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, telling_data


def loops(path):
    block = gemmi.cif.read(str(path)).sole_block()
    tags = ["index_h", "index_k", "index_l", "intensity_meas", "intensity_sigma", "zone_axis_id"]
    rows = np.array([[float(v) for v in row] for row in block.find("_refln_", tags)]).reshape(-1, 6)
    names = ["id", "u", "v", "w", "precession_angle", "alpha", "beta", "omega"]
    zones = np.array([[float(v) for v in row] for row in block.find("_diffrn_zone_axis_", names)])
    UB = np.array([[float(block.find_value(f"_diffrn_orient_matrix_UB_{i}{j}")) for j in (1, 2, 3)] for i in (1, 2, 3)])
    return rows, zones, UB


class TestPetsExporter(ExporterContract):
    name = "pets"

    def read_back(self, paths: list[Path]) -> ReadBack:
        """Frames in a row that list an index are one observation."""
        found = []
        for path in paths:
            rows, _, _ = loops(path)
            order = np.lexsort([rows[:, 5], *rows[:, :3].T])
            rows = rows[order]
            new = np.any(np.diff(rows[:, :3], axis=0) != 0, axis=1) | (np.diff(rows[:, 5]) > 1)
            found.append(rows[np.concatenate([[True], new])] if len(rows) else rows)
        rows = np.concatenate(found)
        return ReadBack(rows[:, :3].astype(int), rows[:, 3], rows[:, 4])


def exported(tmp_path, experiments, table, **params):
    result = spindle.run("export", experiments, table, format="pets", **params)
    paths = []
    for name, writer in result.files.items():
        paths.append(tmp_path / name)
        writer(paths[-1])
    return paths


def test_frames_hold_the_reflections_that_are_near_the_ewald_sphere(tmp_path):
    experiments, table = integrated_data()
    (path,) = exported(tmp_path, experiments, table, n_merged=4, step=2, excitation_error_cutoff=0.002)
    rows, zones, UB = loops(path)
    assert len(zones) == 14  # of 30 images
    np.testing.assert_allclose(zones[:, 4], 1.0)
    np.testing.assert_allclose(np.linalg.inv(UB.T @ UB), np.diag([3600.0, 3600, 1600]), rtol=2e-3, atol=20)
    for number, zone in enumerate(zones):
        alpha, beta, omega = np.deg2rad(zone[5:8])
        x, y, z = np.eye(3)
        turned = rotation_matrix(z, omega) @ rotation_matrix(x, alpha) @ rotation_matrix(y, beta) @ UB
        # the beam comes along -z; its direction in the basis of the crystal is the zone axis
        axis = turned.T @ z
        np.testing.assert_allclose(zone[1:4], axis / np.abs(axis).max(), atol=2e-3)
        s = np.array([0.0, 0, -1.0]) + rows[rows[:, 5] == number + 1][:, :3] @ turned.T
        error = 1.0 - np.linalg.norm(s, axis=1)
        assert len(s) and np.abs(error).max() < 0.0023
    assert zones[0, 5] == pytest.approx(11.0) and zones[1, 5] == pytest.approx(12.0)


def test_one_of_several_experiments_can_be_chosen(tmp_path):
    experiments, table = telling_data()
    assert [p.name for p in exported(tmp_path, experiments, table)] == [
        "spindle_dyn_1.cif_pets",
        "spindle_dyn_2.cif_pets",
    ]
    assert [p.name for p in exported(tmp_path, experiments, table, **{"pets.id": 1})] == ["spindle_dyn.cif_pets"]
    with pytest.raises(ParameterError, match="0 to 1"):
        exported(tmp_path, experiments, table, **{"pets.id": 2})


def test_reflections_without_flags_can_be_had_and_the_lorentz_factor_is_left_out(tmp_path):
    experiments, table = telling_data()
    table["lp"] = np.full(len(table), 0.25)
    numbers = []
    for filtering in (True, False):
        paths = exported(tmp_path, experiments, table, intensity="sum", flag_filtering=filtering)
        rows = np.concatenate([loops(path)[0] for path in paths])
        np.testing.assert_allclose(rows[:, 3], 4000 + rows[:, :3] @ [100, 10, 1], rtol=1e-5)
        numbers.append(len({tuple(r) for r in rows[:, :3]}))
    assert numbers[1] > numbers[0]
