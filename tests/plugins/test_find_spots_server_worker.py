"""What a worker of the spot-finding server does, without the server."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from spindle_program_find_spots_server.allowed import AllowedFolders
from spindle_program_find_spots_server.analysis import Analyst, _effective
from spindle_program_find_spots_server.answer import to_json
from spindle_program_find_spots_server.refusal import Refusal

from spindle.errors import ParameterError
from spindle.params import walk
from spindle.testing import shared_data
from spindle.testing.format import write_mini_cbf


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
