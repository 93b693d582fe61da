"""Files of masks and of maps."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from spindle.errors import FileFormatError, ShapeError
from spindle.files import read_map, read_mask, write_map, write_mask
from spindle.models import Detector
from spindle.testing.threshold import threshold_panel

DETECTOR = Detector([threshold_panel(12, 8), threshold_panel(9, 5)])
SHAPES = [(8, 12), (5, 9)]


@pytest.fixture
def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.random(shape) > 0.2 for shape in SHAPES]


@pytest.fixture
def maps() -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.uniform(0.5, 2.0, shape) for shape in SHAPES]


@pytest.mark.parametrize("name", ["m.npz", "m.h5", "m.hdf5", "pixels.mask"])
def test_masks_and_maps_come_back(tmp_path, name, masks, maps):
    write_mask(tmp_path / name, masks)
    for got, true in zip(read_mask(tmp_path / name, DETECTOR), masks, strict=True):
        assert got.dtype == np.bool_
        assert np.array_equal(got, true)
    write_map(tmp_path / name, maps)
    for got, true in zip(read_map(tmp_path / name, DETECTOR, "gain"), maps, strict=True):
        assert got.dtype == np.float64
        assert np.array_equal(got, true)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_ten_panels_and_more_keep_their_order(tmp_path, suffix):
    panels = [threshold_panel(4, 3)] * 12
    write_map(tmp_path / f"m{suffix}", [np.full((3, 4), float(k + 1)) for k in range(12)])
    values = read_map(tmp_path / f"m{suffix}", panels, "gain")
    assert [v[0, 0] for v in values] == list(range(1, 13))


def test_arrays_of_other_names_are_taken_in_order(tmp_path, masks):
    np.savez(tmp_path / "a.npz", *masks)
    np.savez(tmp_path / "b.npz", left=masks[0], right=masks[1].astype(np.uint8))
    for name in ("a.npz", "b.npz"):
        assert all(np.array_equal(a, b) for a, b in zip(read_mask(tmp_path / name, DETECTOR), masks, strict=True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_refused_and_never_opened(tmp_path, protocol):
    (tmp_path / "pixels.mask").write_bytes(pickle.dumps((np.ones((2, 3)),), protocol))
    with pytest.raises(FileFormatError, match=r"Python pickle.*dials\.python"):
        read_mask(tmp_path / "pixels.mask", DETECTOR)


def test_pickled_arrays_within_npz_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", np.array([{}], dtype=object))
    with pytest.raises(FileFormatError, match="damaged"):
        read_mask(tmp_path / "m.npz", DETECTOR)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([np.ones((8, 12), bool)], r"has 1 array of 8 x 12, the detector needs 2 arrays of 8 x 12, 5 x 9"),
        ([np.ones((12, 8), bool), np.ones((9, 5), bool)], "transposed"),
        ([np.ones((8, 12)), np.ones((5, 9))], "float64, not True and False"),
        ([np.full((8, 12), 2), np.ones((5, 9), int)], "True where a pixel is good"),
        ([], "no arrays"),
    ],
)
def test_what_is_no_mask_is_named(tmp_path, arrays, message):
    np.savez(tmp_path / "m.npz", *arrays)
    with pytest.raises(FileFormatError, match=message):
        read_mask(tmp_path / "m.npz", DETECTOR)


def test_a_missing_file_a_text_file_and_a_cut_file_are_told_apart(tmp_path, masks):
    with pytest.raises(FileFormatError, match="no such file"):
        read_mask(tmp_path / "m.npz", DETECTOR)
    (tmp_path / "m.txt").write_text("1 1 1\n")
    with pytest.raises(FileFormatError, match=r"one .* array per panel"):
        read_mask(tmp_path / "m.txt", DETECTOR)
    for name in ("m.npz", "m.h5"):
        write_mask(tmp_path / name, masks)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(FileFormatError, match="damaged"):
            read_mask(tmp_path / name, DETECTOR)


def test_maps_hold_numbers(tmp_path, maps, masks):
    write_mask(tmp_path / "m.npz", masks)
    with pytest.raises(FileFormatError, match="a gain map holds numbers"):
        read_map(tmp_path / "m.npz", DETECTOR, "gain")
    maps[1][:] = -1
    write_map(tmp_path / "m.npz", maps)
    assert read_map(tmp_path / "m.npz", DETECTOR, "pedestal")[1][0, 0] == -1
    with pytest.raises(FileFormatError, match="45 of 45 values of panel 1 are not positive numbers"):
        read_map(tmp_path / "m.npz", DETECTOR, "gain")


def test_distortion_maps_are_complete(tmp_path, maps):
    maps[0][3, 4] = np.nan
    write_map(tmp_path / "m.npz", maps)
    assert np.isnan(read_map(tmp_path / "m.npz", DETECTOR, "pedestal")[0][3, 4])
    with pytest.raises(FileFormatError, match="1 of 96 values of panel 0 are not numbers"):
        read_map(tmp_path / "m.npz", DETECTOR, "dx")


def test_only_images_can_be_written(tmp_path):
    with pytest.raises(ShapeError):
        write_mask(tmp_path / "m.npz", [np.ones(5)])


def test_a_panel_of_another_size_is_told(tmp_path, masks):
    write_mask(tmp_path / "m.h5", masks)
    panels = [DETECTOR[0], replace(DETECTOR[1], image_size=(9, 6))]
    with pytest.raises(FileFormatError, match="5 x 9"):
        read_mask(tmp_path / "m.h5", panels)
