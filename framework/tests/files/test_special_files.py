"""Inputs are regular files: a pipe, a device, a link to itself or a folder is one message, whatever the file is for."""

from __future__ import annotations

import os
import zipfile

import h5py
import numpy as np
import pytest

from spindle.cli.arguments import kind_of
from spindle.errors import UserError
from spindle.execution.record import file_entry, read_record
from spindle.files import maps, read_experiments, read_reflections
from spindle.files.experiments import experiments_from_dict
from spindle.files.maps import read_map, read_mask
from spindle.models import Panel
from spindle.params.text import read_parameter_file

PANEL = Panel(
    fast_axis=[1, 0, 0], slow_axis=[0, -1, 0], origin=[-5, 5, -100], pixel_size=(0.1, 0.1), image_size=(10, 8)
)


def model_of(path):
    experiments_from_dict({"beam": [], "experiment": [{"beam": path.name}]}, path.parent)


READERS = {
    ".expt": read_experiments,
    ".refl": read_reflections,
    ".refl.gz": read_reflections,
    ".phil": read_parameter_file,
    ".toml": read_parameter_file,
    ".json": kind_of,
    "record.json": read_record,
    "beam.json": model_of,
    ".npz": lambda p: read_mask(p, [PANEL]),
    ".h5": lambda p: read_map(p, [PANEL], "gain"),
    ".cbf": file_entry,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "missing"])
def test_what_is_no_regular_file_is_one_message(tmp_path, name, kind):
    path = tmp_path / f"x{name}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.symlink_to(path.name if kind == "loop" else "/dev/zero")
    with pytest.raises(UserError, match=path.name):
        READERS[name](path)


def test_a_mask_that_promises_more_than_any_panel_is_refused_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", panel_0=np.zeros((1 << 10, 1 << 10), bool))
    with zipfile.ZipFile(tmp_path / "bomb.npz") as source, zipfile.ZipFile(tmp_path / "large.npz", "w") as target:
        content = source.read("panel_0.npy").replace(b"(1024, 1024)", b"(99999, 99999)"[:14])
        target.writestr("panel_0.npy", content)
    with pytest.raises(UserError, match="9999800001 values"):
        read_mask(tmp_path / "large.npz", [PANEL])
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("panel_0", (1 << 20, 1 << 20), bool, chunks=(1 << 10, 1 << 10))
    with pytest.raises(UserError, match="values, no panel more than"):
        read_mask(tmp_path / "large.h5", [PANEL])


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_mask_of_many_arrays_is_refused_before_it_is_unpacked(tmp_path, suffix, monkeypatch):
    arrays = {f"panel_{i}": np.zeros((1 << 10, 1 << 10), bool) for i in range(40)}
    path = tmp_path / f"bomb{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, compression="gzip")
    assert path.stat().st_size < 500_000
    with pytest.raises(UserError, match="far more than the detector"):
        read_mask(path, [PANEL])
    monkeypatch.setattr(maps, "MOST_PIXELS", 1 << 24)
    with pytest.raises(UserError, match="more than 16777216 values"):
        read_mask(path, None)


def test_a_mask_whose_values_are_no_numbers_is_refused_before_it_is_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "bomb.npz", panel_0=np.zeros(1, "V50000000"))
    assert (tmp_path / "bomb.npz").stat().st_size < 100_000
    with pytest.raises(UserError, match="values of 50000000 bytes, no numbers"):
        read_mask(tmp_path / "bomb.npz", [PANEL])


@pytest.mark.parametrize("way", ["link", "soft link", "storage", "virtual"])
def test_a_mask_is_in_its_own_file(tmp_path, way):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["panel_0"] = np.ones((8, 10), bool)
    (tmp_path / "raw").write_bytes(b"\1" * 80)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        if way == "link":
            file["panel_0"] = h5py.ExternalLink("other.h5", "panel_0")
        elif way == "soft link":
            file["a"] = h5py.ExternalLink("other.h5", "/")
            file["panel_0"] = h5py.SoftLink("/a/panel_0")
        elif way == "storage":
            file.create_dataset("panel_0", (8, 10), "u1", external=[("raw", 0, 80)])
        else:
            layout = h5py.VirtualLayout((8, 10), bool)
            layout[...] = h5py.VirtualSource("other.h5", "panel_0", (8, 10))
            file.create_virtual_dataset("panel_0", layout)
    with pytest.raises(UserError, match=r"is a link|are in other files"):
        read_mask(tmp_path / "mask.h5", [PANEL])
    assert len(read_mask(tmp_path / "other.h5", [PANEL])) == 1
