"""What files of electron microscopes leave to be worked out."""

from __future__ import annotations

import bz2
import gzip

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images.compressed import map_file
from spindle_lib_readers.electrons import calibrated_distance, camera_named, electron_wavelength, tilt_series


@pytest.mark.parametrize(("voltage", "expected"), [(100e3, 0.037014), (200e3, 0.025079), (300e3, 0.019687)])
def test_wavelengths_of_electrons(voltage, expected):
    # The usual table of relativistic wavelengths, such as Reimer & Kohl, Transmission Electron Microscopy.
    assert electron_wavelength(voltage) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("voltage", [1e-300, 5e-324, 0.0, -2e5, -1e300, float("nan")])
def test_no_voltage_gives_no_wavelength(voltage):
    assert electron_wavelength(voltage) == 0.0


def test_a_spot_lies_where_the_calibration_says():
    # 1 / (2 angstrom) at 0.025 angstrom is 12.5 mrad; at 1000 mm 12.5 mm, 500 pixels of 0.025 mm: 1e7 1/m each.
    assert calibrated_distance(0.025, 1e7, 0.025) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("angles", "per_image", "start", "width", "sense"),
    [
        (np.arange(5) * 0.5 - 10, 0.0, -10, 0.5, 1),
        (10 - np.arange(5) * 0.5, 0.0, -10, 0.5, -1),
        (np.full(5, 7.0), 0.0, 7, 0.0, 1),
        (np.full(5, 7.0), 0.25, 7, 0.25, 1),
        (np.full(5, 7.0), -0.25, -7, 0.25, -1),
        (10 - np.arange(5) * 0.5, 0.5, -10, 0.5, -1),
        (np.array([0.0, 1.0, 5.0, 5.0, 6.0]), 0.0, 0, 0.0, 1),
        (np.array([0.0, 1.0, 0.0, 3.0, 4.0]), 0.0, 0, 0.0, 1),
        (np.array([np.nan, 1e300]), 0.0, 0, 0.0, 1),
        (np.array([3.0]), 0.0, 3, 0.0, 1),
    ],
)
def test_tilt_series(angles, per_image, start, width, sense):
    found = tilt_series(angles, per_image)
    assert found.starts[0] == pytest.approx(start) and found.width == pytest.approx(width) and found.sense == sense
    if width:
        assert np.allclose(np.diff(found.starts), width)


def test_a_stage_that_answers_with_stairs_has_turned_steadily():
    true = -30 + 0.1 * np.arange(600)
    found = tilt_series(np.floor(true / 0.4) * 0.4)  # one answer in four images
    assert found.width == pytest.approx(0.1, rel=1e-3) and np.abs(found.starts - true).max() < 0.4


def test_the_straight_line_is_named_when_the_stage_is_uneven():
    (note,) = tilt_series(-np.array([0.0, 1.0, 5.0, 5.0, 9.0])).notes
    assert "geometry.scan.oscillation=-0.4,2.2" in note and "invert_rotation_axis=True" in note


def test_a_rotation_per_image_that_the_stage_contradicts_is_said():
    found = tilt_series(np.arange(11) * 1.0, 0.5)
    assert found.width == 0.5 and "1 deg each" in found.notes[0]


def test_what_is_known_of_cameras():
    assert camera_named("BM-Ceta", 2, "<i2")[:3] == (0.028, (-1000, 32000), 26)
    assert camera_named("EF-Falcon", 1, ">u2")[:3] == (0.014, (0, 8000), 1)
    assert camera_named("", 1, "u2")[:3] == (None, (0, 65534), 1)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_files_are_mapped_compressed_or_not(tmp_path, pack):
    content = bytes(range(256)) * 2000
    path = tmp_path / "file"
    path.write_bytes(pack(content))
    found = map_file(path)
    assert found.dtype == np.int8 and found.tobytes() == content and not found.flags.writeable


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_short_compressed_file_is_an_error(tmp_path, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(np.random.default_rng(1).bytes(100000))[:50000])
    with pytest.raises(FileFormatError, match=r"file: .*cut short"):
        map_file(path)
    path.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"file: .*0 bytes"):
        map_file(path)
