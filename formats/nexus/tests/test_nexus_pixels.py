"""NeXus files: chunks, masks, virtual datasets, links, growing files."""

from __future__ import annotations

import contextlib

import h5py
import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing.chunks import decode_chunk
from spindle_lib_readers.testing.nexus import change, link_data, write_nxmx

hdf5plugin = pytest.importorskip("hdf5plugin")

PIXELS = np.random.default_rng(5).poisson(3.0, size=(4, 61, 97)).astype(np.uint16)
PIXELS[:, 7] = np.random.default_rng(6).integers(0, 65535, size=(4, 97))
DETECTOR = "entry/instrument/detector"


@pytest.fixture
def nxmx(tmp_path):
    return write_nxmx(tmp_path / "x_master.h5", PIXELS)


# -- pixels ------------------------------------------------------------------------------------------------------------

FILTERS = {
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "small blocks": hdf5plugin.Bitshuffle(nelems=256),
    "LZ4": hdf5plugin.LZ4(),
    "gzip": {"compression": "gzip"},
    "bitshuffle-zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "shuffle-gzip": {"compression": "gzip", "shuffle": True},
    "plain": {},
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("chunk", [(1, 61, 97), (1, 20, 97), (1, 32, 40), (2, 61, 97)])
@pytest.mark.sampled(2)
def test_pixels_are_those_that_hdf5_reads(tmp_path, name, chunk):
    for dtype in ("u1", "u2", "u4", "i2", "i4"):
        limits = np.iinfo(dtype)
        pixels = np.minimum(PIXELS[:2].astype(np.int64), limits.max).astype(dtype)
        pixels[0, 3], pixels[1, -1, -5:] = limits.max, limits.min
        path = write_nxmx(tmp_path / f"{dtype}.h5", pixels, **{**FILTERS[name], "chunks": chunk})
        reader = open_image(path)
        for i in range(2):
            assert np.array_equal(reader.read(i)[0], pixels[i].astype(np.int32)), dtype


def test_floats_and_64_bit_counts(tmp_path):
    real = write_nxmx(tmp_path / "f.h5", PIXELS.astype(np.float64) / 3)
    assert np.array_equal(open_image(real).read(1)[0], (PIXELS[1] / 3).astype(np.float32))
    long = PIXELS.astype(np.int64)
    long[0, 0, :2] = 2**40, -(2**40)
    found = open_image(write_nxmx(tmp_path / "l.h5", long)).read(0)[0]
    assert found[0, 0] == 2**31 - 1 and found[0, 1] == -(2**31) and np.array_equal(found[1:], PIXELS[0, 1:])


@pytest.mark.parametrize("name", ["bitshuffle", "LZ4", "gzip"])
@pytest.mark.parametrize("damage", ["short", "noise", "header"])
def test_a_damaged_chunk_is_an_error_that_names_file_dataset_and_image(tmp_path, name, damage):
    path = write_nxmx(tmp_path / "x.h5", PIXELS, **FILTERS[name])
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        content = bytearray(data.id.read_direct_chunk((2, 0, 0))[1])
        if damage == "short":
            content = content[: len(content) // 2]
        elif damage == "noise":
            content[12:400] = b"\xff" * 388
        else:
            content[:12] = bytes(12)
        data.id.write_direct_chunk((2, 0, 0), bytes(content))
    reader = open_image(path)
    assert np.array_equal(reader.read(1)[0], PIXELS[1])
    with pytest.raises(FileFormatError, match=r"x\.h5: /entry/data/data, chunk of image 3 .*image_range="):
        reader.read(2)


def test_any_damage_is_an_error_or_other_pixels_but_no_crash(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", PIXELS, **FILTERS["bitshuffle"])
    rng = np.random.default_rng(1)
    with h5py.File(path, "r+") as file:
        good = file["entry/data/data"].id.read_direct_chunk((0, 0, 0))[1]
    for _ in range(12):
        with h5py.File(path, "r+") as file:
            bad = np.frombuffer(good, dtype=np.uint8).copy()
            bad[rng.integers(0, len(bad), 5)] = rng.integers(0, 256, 5)
            file["entry/data/data"].id.write_direct_chunk((0, 0, 0), bad.tobytes())
        with contextlib.suppress(FileFormatError):
            assert open_image(path).read(0)[0].shape == (61, 97)


def test_an_image_that_was_never_written_is_an_error(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", None)
    with h5py.File(path, "r+") as file:
        data = file["entry/data"].create_dataset("data", (3, 60, 97), "u2", chunks=(1, 60, 97))
        data[0] = 1
    with pytest.raises(FileFormatError, match="image 2 of 3: expected a chunk with its pixels"):
        open_image(path).read(1)


def test_flatfield_is_applied_only_when_it_was_not(nxmx):
    flat = np.full((61, 97), 2.0, dtype=np.float32)
    change(nxmx, **{f"{DETECTOR}/flatfield": flat, f"{DETECTOR}/flatfield_applied": True})
    assert np.array_equal(open_image(nxmx).read(0)[0], PIXELS[0])
    change(nxmx, **{f"{DETECTOR}/flatfield_applied": False})
    found = open_image(nxmx).read(0)[0]
    trusted = PIXELS[0] <= 30000
    assert found.dtype == np.float32
    assert np.array_equal(found[trusted], 2.0 * PIXELS[0][trusted])
    assert np.array_equal(found[~trusted], PIXELS[0][~trusted])


def test_pixels_are_bad_by_the_lower_16_bits_of_the_mask(nxmx):
    mask = open_image(nxmx).mask()[0]
    assert not mask[2, 3] and mask[4, 5] and mask.sum() == mask.size - 1


# -- virtual datasets and links ----------------------------------------------------------------------------------------


def test_external_links_follow_each_other(nxmx):
    reader = open_image(link_data(nxmx, PIXELS, ["data_000001", "data_000002"]))
    assert reader.n_images == 4
    for i in (3, 0, 2, 1):
        assert np.array_equal(reader.read(i)[0], PIXELS[i])


def test_image_numbers_of_datasets_are_believed_more_than_names(nxmx):
    path = link_data(nxmx, PIXELS, ["data_000001", "data_000002"], image_nr_low=[3, 1])
    assert np.array_equal(open_image(path).read(0)[0], PIXELS[2])


def test_a_broken_external_link_is_named(nxmx):
    path = link_data(nxmx, PIXELS, ["data_000001", "data_000002"])
    (path.parent / "x_master_data_000002.h5").unlink()
    with pytest.raises(
        FileFormatError,
        match=r"/entry/data/data_000002: expected entry/data/data in .*x_master_data_000002\.h5.*copy x",
    ):
        open_image(path)


def test_a_link_to_another_dataset_is_named(nxmx):
    path = link_data(nxmx, PIXELS, ["data_000001"])
    with h5py.File(path.parent / "x_master_data_000001.h5", "r+") as file:
        file.move("entry/data/data", "entry/other")
    with pytest.raises(FileFormatError, match="found no such dataset there"):
        open_image(path)


def virtual(path, layout):
    with h5py.File(path, "r+") as file:
        if "data" in file["entry/data"]:
            del file["entry/data/data"]
        file["entry/data"].create_virtual_dataset("data", layout, fillvalue=9)
    return path


def test_virtual_datasets_of_interleaved_files_and_of_virtual_datasets(nxmx, tmp_path):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    for k in range(2):
        with h5py.File(tmp_path / f"part{k}.h5", "w") as file:
            file.create_dataset("raw", data=PIXELS[k::2], chunks=(1, 61, 97), **FILTERS["bitshuffle"])
            inner = h5py.VirtualLayout((2, 61, 97), "u2")
            inner[:] = h5py.VirtualSource(".", "raw", (2, 61, 97))
            file.create_virtual_dataset("data", inner)
        layout[k::2] = h5py.VirtualSource(f"part{k}.h5", "data", (2, 61, 97))
    reader = open_image(virtual(nxmx, layout))
    for i in range(4):
        assert np.array_equal(reader.read(i)[0], PIXELS[i])


def test_virtual_datasets_of_parts_of_images(nxmx, tmp_path):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    for k, (low, high) in enumerate([(0, 30), (33, 61)]):
        with h5py.File(tmp_path / f"half{k}.h5", "w") as file:
            file.create_dataset("data", data=PIXELS[:, low:high], chunks=(1, high - low, 97), **FILTERS["bitshuffle"])
        layout[:, low:high] = h5py.VirtualSource(f"half{k}.h5", "data", (4, high - low, 97))
    path = virtual(nxmx, layout)
    found = open_image(path).read(1)[0]
    with h5py.File(path) as file:
        assert np.array_equal(found, file["entry/data/data"][1])
    assert np.all(found[30:33] == 9)


def test_a_missing_source_is_an_error_and_no_black_image(nxmx):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    layout[:] = h5py.VirtualSource("gone.h5", "data", (4, 61, 97))
    with pytest.raises(FileFormatError, match=r"/entry/data/data \(virtual\): expected data in .*gone\.h5, found no"):
        open_image(virtual(nxmx, layout))


def test_a_growing_file_is_read_while_it_is_written(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", PIXELS[:1], np.arange(4) * 0.5, maxshape=(None, 61, 97))
    with h5py.File(path, "r+", libver=("v110", "v110")) as writer:
        writer.swmr_mode = True
        data = writer["entry/data/data"]
        reader = open_image(path)
        assert reader.n_images == 1
        for n in (2, 4):
            data.resize(n, axis=0)
            data[n - 1] = PIXELS[n - 1]
            data.flush()
            assert reader.n_images == n
            assert np.array_equal(reader.read(n - 1)[0], PIXELS[n - 1])
            assert reader.models(n - 1).scan.oscillation_deg == (0.5 * (n - 1), 0.5)


# -- trusted range ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("u1", {"saturation_value": None}, (0, 253)),
        ("u2", {"saturation_value": None}, (0, 65533)),
        ("u2", {"saturation_value": 70000}, (0, 65533)),
        ("u2", {"saturation_value": 1000, "bit_depth_image": 12}, (0, 1000)),
        ("u2", {"saturation_value": None, "bit_depth_image": 12}, (0, 4093)),
        ("u4", {"saturation_value": None}, (0, 2**31 - 1)),
        ("u4", {"saturation_value": 126952, "underload_value": -1}, (0, 126952)),
        ("i4", {"saturation_value": 126952, "underload_value": -1}, (-1, 126952)),
    ],
)
def test_trusted_range_of_counters_of_all_depths(tmp_path, dtype, values, expected):
    path = write_nxmx(tmp_path / "x.h5", PIXELS[:1].clip(0, 100).astype(dtype))
    change(path, **{f"{DETECTOR}/{name}": value for name, value in values.items()})
    assert open_image(path).models().detector[0].trusted_range == expected


def test_marks_of_a_32_bit_detector_are_not_trusted(tmp_path):
    pixels = np.zeros((1, 5, 6), np.uint32)
    pixels[0, 0, :2] = 2**32 - 1, 2**32 - 2
    reader = open_image(write_nxmx(tmp_path / "x.h5", pixels))
    low, _ = reader.models().detector[0].trusted_range
    assert np.array_equal(np.argwhere(reader.read(0)[0] < low), [[0, 0], [0, 1]])


@pytest.mark.parametrize(("name", "codec"), [("bitshuffle", "bitshuffle_lz4"), ("LZ4", "lz4"), ("gzip", "gzip")])
def test_an_image_is_handed_out_as_it_is_stored(tmp_path, name, codec):
    reader = open_image(write_nxmx(tmp_path / "x.h5", PIXELS, **FILTERS[name]))
    for index in (0, len(PIXELS) - 1):
        chunk = reader.read_chunk(index)
        assert (chunk.codec, chunk.shape, chunk.dtype) == (codec, PIXELS.shape[1:], PIXELS.dtype)
        np.testing.assert_array_equal(decode_chunk(chunk), PIXELS[index])
