"""The exporter passes the contract of its slot; h5py reads its files, and the geometry is computed from the tree alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gemmi
import h5py
import numpy as np

import spindle
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Detector, Experiments, Goniometer
from spindle.prediction import predict_static
from spindle.table import ReflectionTable
from spindle.testing.exporter import ExporterContract, ReadBack, integrated_data, telling_data


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
    experiment = replace(
        experiments[0], goniometer=goniometer, detector=Detector([panel, second]), beam=Beam([0.02, -0.01, 1.0], 1.0)
    )
    table = predict_static(experiment, d_min=4.0)
    table["intensity.sum.value"] = table["intensity.sum.variance"] = np.ones(len(table))
    with written(tmp_path, Experiments([experiment]), table, instrument_name="I99") as file:
        assert file["entry/experiment_0/instrument/name"][()] == b"I99"
        assert file["entry/experiment_0/sample/transformations/phi"][0] == 10.0
        assert_meets(file, "entry/experiment_0", range(0, len(table), 40))


def assert_meets(file, name, rows_of):
    """Each of some reflections diffracts, and where its module and its position there are, by what the tree of its experiment says."""
    group, rows = file[name], file["entry/reflections"]
    s0 = np.array([0.0, 0, 1]) / group["sample/beam/incident_wavelength"][()]
    U = group["sample/orientation_matrix"][0]
    B = np.array(gemmi.UnitCell(*group["sample/unit_cell"][0]).frac.mat.tolist()).T
    turns = group["sample/transformations"]
    start, width = turns["phi"][0], turns["phi"][1] - turns["phi"][0]
    assert abs(width - 0.5) < 1e-12
    fixed, setting = (chain(file, turns[n])[:3, :3] for n in ("fixed_rotation", "setting_rotation"))
    axis = np.array(turns["phi"].attrs["vector"])
    # the chain of fixed_rotation has the first angle of phi in it
    F = rotation_matrix(axis, np.deg2rad(start)).T @ setting.T @ fixed
    for i in rows_of:
        h = np.array([rows[c][i] for c in "hkl"])
        s1 = s0 + setting @ rotation_matrix(axis, rows["predicted_phi"][i]) @ F @ U @ B @ h
        assert abs(np.linalg.norm(s1) - np.linalg.norm(s0)) < 1e-6
        module = group[f"instrument/detector/module{int(rows['det_module'][i])}"]
        corner = chain(file, module["module_offset"])[:3, 3]
        at = corner + sum(
            rows[c][i] * np.array(module[f"{n}_pixel_direction"].attrs["vector"])
            for c, n in (("predicted_x", "fast"), ("predicted_y", "slow"))
        )
        np.testing.assert_allclose(at / np.linalg.norm(at), s1 / np.linalg.norm(s1), atol=1e-6)


#: Fields of the base class NXreflections of NeXus that have a unit, and what it may be there.
UNITS = {
    "predicted_x": {"mm", "m"}, "predicted_y": {"mm", "m"}, "predicted_phi": {"rad", "deg"}, "d": {"angstrom"},
}  # fmt: skip
WHOLE = ("id", "det_module", "flags", "reflection_id", "entering")


def test_reflections_of_two_sweeps_with_several_panels_belong_to_their_experiments(tmp_path):
    """Of other wavelengths, goniometers, cells and numbers of panels."""
    experiments, _ = telling_data()
    first, second = experiments[0], experiments[1]
    panel = first.detector[0]
    pair = Detector([panel, replace(panel, origin=panel.origin + 60.0 * panel.fast_axis)])
    crystal = replace(second.crystal, A=0.93 * second.crystal.A)
    second = replace(second, detector=pair, beam=Beam([0, 0, 1], 1.25), crystal=crystal)
    tables = [predict_static(e, d_min=d) for e, d in ((first, 4.0), (second, 2.0))]
    for k, table in enumerate(tables):
        table["id"] = np.full(len(table), k, np.int32)
        table.identifiers = {k: experiments[k].identifier}
        table["intensity.sum.value"] = table["intensity.sum.variance"] = np.full(len(table), 1.0 + k)
    table = ReflectionTable.concatenate(tables)
    assert set(tables[1]["panel"]) == {0, 1}
    with written(tmp_path, Experiments([first, second]), table) as file:
        rows = file["entry/reflections"]
        assert [file[p.decode()].attrs["NX_class"] for p in rows["experiments"][()]] == ["NXsubentry"] * 2
        ids = rows["id"][()]
        np.testing.assert_array_equal(ids, table["id"])
        np.testing.assert_array_equal(rows["int_sum"][()], 1.0 + ids)
        assert float(file["entry/experiment_1/sample/beam/incident_wavelength"][()]) == 1.25
        for k, path in enumerate(rows["experiments"][()]):
            assert_meets(file, path.decode(), np.flatnonzero(ids == k)[::40])
        assert all(rows[name].attrs["units"] in units for name, units in UNITS.items() if name in rows)
        assert all(rows[name].dtype.kind in "iu" for name in WHOLE if name in rows)


def test_columns_without_a_name_in_nexus_are_kept_under_their_own(tmp_path):
    experiments, table = integrated_data()
    table["zeta"] = np.linspace(0, 1, len(table))
    with written(tmp_path, experiments, table) as file:
        np.testing.assert_array_equal(file["entry/reflections/zeta"], table["zeta"])
        assert len(file["entry/reflections/h"]) == len(table)


def test_trees_are_those_of_the_definition_of_nxmx(tmp_path):
    """By the validator of nexusformat: nothing required lacks but images, and, where no image tells them, the times."""
    validate = shutil.which("nxvalidate", path=Path(sys.executable).parent)
    assert validate, "nexusformat is among the tools of the tests: python run.py install"
    experiments, table = telling_data()
    scan = replace(experiments[1].scan, epochs=1.7e9 + 0.1 * np.arange(len(experiments[1].scan.exposure_times)))
    with written(tmp_path, Experiments([experiments[0], replace(experiments[1], scan=scan)]), table) as file:
        names = [f"entry/experiment_{i}" for i in range(2)]
        assert all(name in file for name in names)
        assert file["entry/experiment_1/start_time"][()] == b"2023-11-14T22:13:20+00:00"
    lacking = []
    for name in names:
        text = subprocess.run(
            [validate, "-e", "-a", "NXmx", "-p", name, str(tmp_path / "a.nxs")],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        assert "NXmx.nxdl.xml" in text
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        lacking.append(re.findall(r"(?:Field|Group): (\S+)\n\s+This required", text))
        assert f"errors: {len(lacking[-1])}" in text
    assert lacking == [[f"/{names[0]}/start_time", f"/{names[0]}/end_time_estimated", "NXdata"], ["NXdata"]]
