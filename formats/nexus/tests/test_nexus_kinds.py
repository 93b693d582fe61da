"""What is no number where a NeXus file should have one is refused, or left out with a note, by place and kind; never taken for a number."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle_lib_readers.testing.nexus import write_nxmx

pytest.importorskip("hdf5plugin")

STACK = np.random.default_rng(5).poisson(3.0, size=(2, 11, 13)).astype(np.uint16)
DETECTOR = "entry/instrument/detector"
# Datasets and attributes that the reader needs of this file.
PLACES = (
    "entry/instrument/beam/incident_wavelength", f"{DETECTOR}/saturation_value", f"{DETECTOR}/underload_value",
    f"{DETECTOR}/sensor_thickness", f"{DETECTOR}/frame_time", f"{DETECTOR}/pixel_mask", f"{DETECTOR}/flatfield",
    f"{DETECTOR}/transformations/det_z", f"{DETECTOR}/module/data_size", f"{DETECTOR}/module/fast_pixel_direction",
    "entry/sample/transformations/omega", f"{DETECTOR}/module/slow_pixel_direction@vector",
    f"{DETECTOR}/module/module_offset@offset", "entry/sample/transformations/omega@vector",
)  # fmt: skip
# Kinds with the words by which they are named.
KINDS = {
    "records of one": (np.dtype([("a", "f8")]), "records of a"),
    "records of two": (np.dtype([("a", "i4"), ("b", "f8")]), "records of a, b"),
    "complex": (np.dtype("c16"), "complex numbers"),
    "references": (h5py.ref_dtype, "references"),
    "lists": (h5py.vlen_dtype(np.float64), "lists of varying length"),
    "opaque": (np.dtype("V4"), "bytes without a meaning"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = write_nxmx(tmp_path_factory.mktemp("whole") / "x_master.h5", STACK)
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/flatfield"] = np.full((11, 13), 1.5)
        file[f"{DETECTOR}/flatfield_applied"] = 0
    return path


def put(file: h5py.File, place: str, dtype: np.dtype) -> None:
    """Replace a dataset or an attribute by one of the same shape whose values are of another kind, and zero."""
    name, _, attribute = place.partition("@")
    node = file[name]
    if attribute:
        shape = np.shape(node.attrs[attribute])
        node.attrs.create(
            attribute, np.empty(shape, object) if dtype.hasobject else np.zeros(shape, dtype), dtype=dtype
        )
        return
    shape, attributes = node.shape, dict(node.attrs)
    del file[name]
    file.create_dataset(name, shape=shape, dtype=dtype).attrs.update(attributes)


def looked_at(path):
    """Notes on a file after all of it was used."""
    reader = open_image(path)
    reader.read(0)
    reader.mask()
    return reader.models(0).notes


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_another_kind_are_never_numbers(whole, tmp_path, kind):
    dtype, words = KINDS[kind]
    for number, place in enumerate(PLACES):
        if dtype.hasobject and "@" in place:
            continue  # h5py does not write such attributes
        path = tmp_path / f"{number}_master.h5"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            put(file, place, dtype)
        try:
            told = "\n".join(looked_at(path))
        except FileFormatError as error:
            told = str(error)
        assert f"/{place.partition('@')[0]}:" in told and f"found {words}" in told, f"{place}: {told}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e300])
def test_factors_that_no_flat_field_has_are_left_out_with_a_note(whole, tmp_path, value):
    path = tmp_path / "x_master.h5"
    path.write_bytes(whole.read_bytes())
    assert not any("flatfield" in note for note in looked_at(path))
    assert np.array_equal(open_image(path).read(0)[0], STACK[0] * np.float32(1.5))
    with h5py.File(path, "r+") as file:
        file[f"{DETECTOR}/flatfield"][4, 5] = value
    (note,) = (note for note in looked_at(path) if "flatfield" in note)
    assert "expected finite factors of 0 or more, found 1 that are none" in note and "it is left out" in note
    np.testing.assert_array_equal(open_image(path).read(0)[0], STACK[0])


def test_a_group_or_nothing_where_a_mask_should_be_is_noted(whole, tmp_path):
    for number, words in enumerate(("a group", "a dataset without values")):
        path = tmp_path / f"{number}_master.h5"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            del file[f"{DETECTOR}/pixel_mask"]
            if number:
                file[f"{DETECTOR}/pixel_mask"] = h5py.Empty("u4")
            else:
                file.create_group(f"{DETECTOR}/pixel_mask")
        (note,) = looked_at(path)
        assert "pixel_mask: expected a dataset" in note and words in note


def test_a_chain_that_ends_in_a_group_is_no_rotation(whole, tmp_path):
    path = tmp_path / "x_master.h5"
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["entry/sample/transformations/omega"]
        file.create_group("entry/sample/transformations/omega")
    (note,) = looked_at(path)
    assert "found a group, /entry/sample/transformations/omega" in note and "the rotation is not known" in note
