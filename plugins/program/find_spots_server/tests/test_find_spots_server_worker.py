"""What a worker of the spot-finding server does, without the server."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from spindle_program_find_spots_server.analysis import Analyst, _effective

from spindle.errors import ParameterError
from spindle.params import walk
from spindle.testing import shared_data
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf
from spindle_lib_serving.allowed import AllowedFolders
from spindle_lib_serving.answers import to_json
from spindle_lib_serving.refusal import Refusal


def test_a_single_image_is_indexed():
    image = min(shared_data("lyso_small").glob("*_0001.cbf*"))
    question = {"image": str(image), "parameters": [["indexing.method", "fft3d"]], "index": True}
    status, answer = Analyst(AllowedFolders([image.parent])).answer(question)
    assert status == 200
    (lattice,) = answer["lattices"]
    # The true cell is 78.9 78.9 37.95 90 90 90; from one image of half a degree it comes out to half a percent.
    assert sorted(lattice["unit_cell"][:3]) == pytest.approx([37.95, 78.9, 78.9], rel=5e-3)
    assert lattice["unit_cell"][3:] == pytest.approx([90, 90, 90], abs=0.5)
    assert answer["n_indexed"] == lattice["n_indexed"] > 0.9 * answer["n_spots_total"]
    real = np.array([lattice["crystal"][f"real_space_{axis}"] for axis in "abc"])
    assert np.allclose(np.linalg.norm(real, axis=1), lattice["unit_cell"][:3])


@pytest.fixture
def image(tmp_path):
    """A dark image."""
    return str(write_mini_cbf(tmp_path / "x_0001.cbf", np.zeros((20, 30), np.int32)))


@pytest.mark.parametrize(
    ("name", "value", "index", "path"),
    [
        ("d_min", 2.0, False, "spotfinder.filter.d_min"),
        ("d_min", 2.0, True, "spotfinder.filter.d_min"),
        ("ice_rings.d_min", 2.0, True, "spotfinder.filter.ice_rings.d_min"),
        ("ice_rings.unit_cell", (4, 4, 7, 90, 90, 120), False, "spotfinder.filter.ice_rings.unit_cell"),
        ("unit_cell", (4, 4, 7, 90, 90, 120), True, "index.indexing.known_symmetry.unit_cell"),
        ("gain", 2.0, False, "spotfinder.threshold.dispersion.gain"),
        ("wavelength", 0.9, False, "import.geometry.beam.wavelength"),
        ("multi_panel", True, False, "import.format.multi_panel"),
    ],
)
def test_a_name_means_the_outermost_parameter(name, value, index, path):
    tree = _effective([[name, value]], index)
    assert {e.path for e in walk(tree) if e.is_modified} == {path, "spotfinder.mp.nproc"}


def test_the_cell_of_a_crystal_is_no_parameter_of_spot_finding():
    with pytest.raises(ParameterError, match="unit_cell is not a parameter"):
        _effective([["unit_cell", (4, 4, 7, 90, 90, 120)]], False)


def test_headers_are_completed_by_parameters_of_import(image):
    analyst = Analyst(AllowedFolders(["/"]))
    Path(image).write_bytes(Path(image).read_bytes().replace(b"# Wavelength 1.00000 A", b"#" + 21 * b" "))
    status, answer = analyst.answer({"image": image, "parameters": [], "index": False})
    assert (status, "geometry.beam.wavelength" in answer["error"]) == (422, True)
    question = {"image": image, "parameters": [["geometry.beam.wavelength", "0.9"]], "index": False}
    assert analyst.answer(question)[0] == 200
    question["parameters"] = [["geometry.beam.wavelength", "None"]]
    assert analyst.answer(question)[0] == 422
    for name in ("reference_geometry", "import.output.experiments", "template"):
        status, answer = analyst.answer({"image": image, "parameters": [[name, "/etc/passwd"]], "index": False})
        assert (status, "only geometry.* and format.*" in answer["error"]) == (400, True)


def linked(target: str, folder: Path, name: str) -> None:
    """Write an HDF5 file that leads to another file, in three ways."""
    virtual = h5py.VirtualLayout((2, 5), "i4")
    virtual[:] = h5py.VirtualSource(target, "data", (2, 5))
    with h5py.File(folder / name, "w") as file:
        group = file.create_group("entry/data")
        if name == "external.h5":
            group["data"] = h5py.ExternalLink(target, "/data")
        elif name == "virtual.h5":
            group.create_virtual_dataset("data", virtual)
        else:
            group.create_dataset("data", (2, 5), "i4", external=[(target, 0, 40)])


@pytest.mark.parametrize("name", ["external.h5", "virtual.h5", "stored.h5", "chain.h5"])
def test_files_that_an_hdf5_file_refers_to_must_be_allowed_too(tmp_path, name):
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir(), outside.mkdir()
    allowed = AllowedFolders([inside])
    kind = "external.h5" if name == "chain.h5" else name
    for folder in (inside, outside):
        with h5py.File(folder / "pixels.h5", "w") as file:
            file["data"] = np.zeros((2, 5), np.int32)
    linked("pixels.h5", inside, kind)
    allowed.linked_files(str(inside / kind))
    linked(str(outside / "pixels.h5"), inside, kind)
    if name == "chain.h5":
        with h5py.File(inside / name, "w") as file:
            file["entry"] = h5py.ExternalLink("external.h5", "/entry")
    with pytest.raises(Refusal, match="outside of the folders") as found:
        allowed.linked_files(str(inside / name))
    assert found.value.status == 403
    allowed.linked_files(__file__)  # not HDF5


def test_numbers_that_json_lacks_are_null():
    assert json.loads(to_json({"a": float("nan"), "b": [1.5, float("inf")]})) == {"a": None, "b": [1.5, None]}


@pytest.mark.parametrize("kind", ["external.h5", "virtual.h5", "stored.h5"])
@pytest.mark.parametrize("way", ["current folder", "folder of the link", "folder of the file", "last part"])
def test_relative_names_in_hdf5_files_are_looked_for_wherever_hdf5_looks(tmp_path, monkeypatch, kind, way):
    inside, outside = tmp_path / "data", tmp_path / "secret"
    (inside / "sub").mkdir(parents=True), outside.mkdir(), (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    target, name = "pixels.h5", inside / kind
    if way == "current folder":
        place = tmp_path / "empty"
    elif way == "folder of the link":  # the file itself lies deeper
        target, name, place = "../secret/pixels.h5", inside / "sub" / kind, outside
        (inside / kind).symlink_to(name)
    elif way == "folder of the file":
        name, place = inside / "sub" / kind, inside / "sub"
        (inside / kind).symlink_to(name)
        (place / "pixels.h5").symlink_to(outside / "pixels.h5")
        place = outside
    else:
        target, place = "/nowhere/at/all/pixels.h5", inside
        (inside / "pixels.h5").symlink_to(outside / "pixels.h5")
        place = outside
    with h5py.File(place / "pixels.h5", "w") as file:
        file["data"] = np.zeros((2, 5), np.int32)
    linked(target, name.parent, name.name)
    with pytest.raises(Refusal, match="outside of the folders"):
        AllowedFolders([inside]).linked_files(str(inside / kind))


def test_files_with_a_block_before_their_head_and_patterns_are_followed(tmp_path):
    inside, outside = tmp_path / "data", tmp_path / "secret"
    inside.mkdir(), outside.mkdir()
    with h5py.File(outside / "pixels_7.h5", "w") as file:
        file["data"] = np.zeros((1, 2, 5), np.int32)
    with h5py.File(inside / "block.h5", "w", userblock_size=512) as file:
        file["data"] = h5py.ExternalLink(str(outside / "pixels_7.h5"), "/data")
    with h5py.File(inside / "master.h5", "w") as file:
        file["data"] = h5py.ExternalLink("block.h5", "/data")
    allowed = AllowedFolders([inside])
    with pytest.raises(Refusal, match="outside of the folders"):
        allowed.linked_files(str(inside / "master.h5"))
    (inside / "link_7.h5").symlink_to(outside / "pixels_7.h5")
    space = h5py.h5s.create_simple((1, 2, 5), (h5py.h5s.UNLIMITED, 2, 5))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 2, 5), (1, 2, 5))
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_virtual(space, b"link_%b.h5", b"data", h5py.h5s.create_simple((1, 2, 5)))
    with h5py.File(inside / "pattern.h5", "w") as file:
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_INT32, space, creation)
    with pytest.raises(Refusal, match="outside of the folders"):
        allowed.linked_files(str(inside / "pattern.h5"))


def test_a_worker_opens_nothing_outside_and_takes_no_more_memory_than_it_may(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("b")
    (tmp_path / "data" / "x.mrc.mdoc").symlink_to(tmp_path / "secret.txt")
    code = textwrap.dedent("""
        import sys, tempfile, numpy as np
        from spindle_program_find_spots_server.confinement import keep_to, limit_memory
        tempfile.tempdir = sys.argv[1] + "/tmp"
        import os; os.mkdir(tempfile.tempdir)
        keep_to([sys.argv[1] + "/data"]); limit_memory(0.5)
        print(open(sys.argv[1] + "/data/a.txt").read())
        for name in ("/secret.txt", "/data/x.mrc.mdoc", "/data/../secret.txt"):
            for way in (open, np.fromfile, np.memmap):
                try:
                    way(sys.argv[1] + name)
                    print("read", name)
                except PermissionError:
                    pass
        with tempfile.TemporaryFile() as file, tempfile.NamedTemporaryFile() as named:
            file.write(b"x")
        import sqlite3  # what is installed may still be imported
        try:
            print(np.ones(1 << 28).sum())
        except MemoryError:
            print("no memory")
        print(np.ones(1 << 20).sum())
    """)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["a", "no memory", "1048576.0"], done.stderr
