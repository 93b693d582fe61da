"""The exporter passes the contract of its slot; h5py reads its files, and the geometry is computed from the tree alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

import spindle
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Detector, Experiments, Goniometer
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data


class TestNxsExporter(ExporterContract):
    """The format holds all reflections as they were measured, with their flags: what is asked of one kind does not apply."""

    name = "nxs"
    kinds = ("sum",)

    def read_back(self, paths: list[Path]) -> ReadBack:
        from spindle.table import Flag

        with h5py.File(paths[0]) as file:
            found = {name: node[()] for name, node in file["entry/reflections"].items()}
        flags, unscaled = found["flags"], "intensity.scale.value" not in found
        wanted = Flag.INTEGRATED_SUM if unscaled else Flag.SCALED
        keep = (flags & np.uint64(int(wanted))) != 0
        index = np.stack([found[c] for c in "hkl"], axis=1)[keep]
        if unscaled or self.asked == "sum":
            value, variance = found["int_sum"], found["int_sum_var"]
        else:
            g = found["inverse_scale_factor"]
            value, variance = found["intensity.scale.value"] / g, found["intensity.scale.variance"] / g**2
        return ReadBack(index, value[keep], np.sqrt(variance[keep]), found["predicted_frame"][keep])

    asked = "auto"

    def exported(self, plugin, intensity, folder, rows=slice(None)):
        self.asked = intensity
        return super().exported(plugin, intensity, folder, rows)


def chain(file, node):
    """(4, 4) product of the transformations that a node depends on, the last one nearest to the laboratory."""
    total = np.eye(4)
    while node is not None:
        vector = np.array(node.attrs["vector"], float)
        value = float(np.atleast_1d(node[()])[0])
        step = np.eye(4)
        if node.attrs["transformation_type"] == "translation":
            step[:3, 3] = value * vector
        elif np.any(vector):
            step[:3, :3] = rotation_matrix(vector, np.deg2rad(value) if node.attrs["units"] == "deg" else value)
        total = step @ total
        above = node.attrs["depends_on"]
        node = file[above] if above != "." else None
    return total


def written(tmp_path, experiments, table, **params):
    (writer,) = spindle.run("export", experiments, table, format="nxs", **params).files.values()
    writer(tmp_path / "a.nxs")
    return h5py.File(tmp_path / "a.nxs")


def test_pixels_reflections_and_crystal_meet_in_the_frame_of_nexus(tmp_path):
    """Of two panels and a goniometer with all its rotations: from the tree alone, h diffracts where the file says."""
    experiments, table = integrated_data()
    goniometer = Goniometer(
        [0.8, 0.6, 0.0], rotation_matrix(np.array([0.0, 1, 0]), 0.4), rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.03)
    )
    panel = experiments[0].detector[0]
    second = replace(panel, origin=panel.origin + 120.0 * panel.fast_axis)
    from spindle.prediction import predict_static

    experiment = replace(
        experiments[0], goniometer=goniometer, detector=Detector([panel, second]), beam=Beam([0.02, -0.01, 1.0], 1.0)
    )
    table = predict_static(experiment, d_min=4.0)
    table["intensity.sum.value"] = table["intensity.sum.variance"] = np.ones(len(table))
    with written(tmp_path, Experiments([experiment]), table, instrument_name="I99") as file:
        group, rows = file["entry/experiment_0"], file["entry/reflections"]
        assert group["instrument/name"][()] == b"I99"
        s0 = np.array([0.0, 0, 1]) / group["sample/beam/incident_wavelength"][()]
        U = group["sample/orientation_matrix"][0]
        cell = group["sample/unit_cell"][0]
        import gemmi

        B = np.array(gemmi.UnitCell(*cell).frac.mat.tolist()).T
        turns = group["sample/transformations"]
        start, width = turns["phi"][0], turns["phi"][1] - turns["phi"][0]
        assert start == 10.0 and abs(width - 0.5) < 1e-12
        fixed, setting = (chain(file, turns[n])[:3, :3] for n in ("fixed_rotation", "setting_rotation"))
        # the chain of fixed_rotation has the first angle of phi in it
        phi0 = rotation_matrix(np.array(turns["phi"].attrs["vector"]), np.deg2rad(start))
        F = phi0.T @ setting.T @ fixed
        for i in range(0, len(table), 40):
            h = np.array([rows[c][i] for c in "hkl"])
            R = rotation_matrix(np.array(turns["phi"].attrs["vector"]), rows["predicted_phi"][i])
            s1 = s0 + setting @ R @ F @ U @ B @ h
            assert abs(np.linalg.norm(s1) - np.linalg.norm(s0)) < 1e-6
            module = group[f"instrument/detector/module{int(rows['det_module'][i])}"]
            corner = chain(file, module["module_offset"])[:3, 3]
            at = corner + sum(
                rows[c][i] * np.array(module[f"{n}_pixel_direction"].attrs["vector"])
                for c, n in (("predicted_x", "fast"), ("predicted_y", "slow"))
            )
            np.testing.assert_allclose(at / np.linalg.norm(at), s1 / np.linalg.norm(s1), atol=1e-6)


def test_columns_without_a_name_in_nexus_are_kept_under_their_own(tmp_path):
    experiments, table = integrated_data()
    table["zeta"] = np.linspace(0, 1, len(table))
    with written(tmp_path, experiments, table) as file:
        np.testing.assert_array_equal(file["entry/reflections/zeta"], table["zeta"])
        assert len(file["entry/reflections/h"]) == len(table)
