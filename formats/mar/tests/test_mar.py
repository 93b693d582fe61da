"""marCCD and mar345 images. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import math

import numpy as np
import pytest
from spindle_format_mar.kernels import packed_end
from spindle_format_mar.reader import _put_overflows

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.images.compressed import read_all
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_marccd

PIXELS = np.arange(100 * 104, dtype=np.int32).reshape(104, 100)


def test_header_and_pixels(tmp_path):
    reader = open_image(write_marccd(tmp_path / "a_0001.mccd", PIXELS))
    models = reader.models()
    panel = models.detector[0]
    assert reader.format == "mar" and panel.image_size == (100, 104)
    assert np.allclose(panel.origin, [-3.95, 4.108, -120])
    assert models.beam.wavelength == pytest.approx(0.979)
    assert models.scan.oscillation_deg == (10, 1) and models.exposure_time == 1.5 and models.epoch == 1113687197
    assert panel.trusted_range == (-9, 65524)
    assert np.array_equal(reader.read()[0], PIXELS - 10)


def test_two_theta_lifts_the_detector_as_in_dials(tmp_path):
    panel = open_image(write_marccd(tmp_path / "a.mccd", PIXELS, at668=15000, at700=15000)).models().detector[0]
    s, c = math.sin(math.radians(15)), math.cos(math.radians(15))
    assert np.allclose(panel.slow_axis, [0, -c, -s]) and np.allclose(panel.fast_axis, [1, 0, 0])
    assert np.allclose(panel.origin, [-3.95, 4.108 * c + 120 * s, 4.108 * s - 120 * c])


def test_omega_and_decreasing_angles(tmp_path):
    models = open_image(write_marccd(tmp_path / "a.mccd", PIXELS, at732=1, at672=20000, at704=19500)).models()
    assert models.scan.oscillation_deg == pytest.approx((-20, 0.5))
    assert np.allclose(models.goniometer.rotation_axis, [-1, 0, 0])


def test_beam_centre_in_mm(tmp_path):
    models = open_image(write_marccd(tmp_path / "a.mccd", PIXELS, at644=4000, at648=4100)).models()
    assert np.allclose(models.detector[0].origin[:2], [-4.0, 4.1]) and "mm" in models.notes[0]


@pytest.mark.parametrize(("name", "size"), [("corkcont2_H_0089", 2048), ("somedata_0001", 1024)])
def test_files_without_distance(name, size):
    path = shared_data("images") / f"{name}.mccd.bz2"
    with pytest.raises(FileFormatError, match=r"xtal_to_detector.*geometry\.detector\.distance="):
        open_image(path).models()
    reader = open_image(path, options=FormatOptions(distance=150.0))
    models = reader.models()
    assert np.allclose(models.detector[0].origin, [-82.5, 82.5, -150], atol=1e-4)
    assert models.beam.wavelength == pytest.approx(1.03318) and models.scan.is_still
    assert reader.read()[0].shape == (size, size)


def test_mar345():
    reader = open_image(shared_data("images") / "example.mar2300.bz2")
    models = reader.models()
    assert np.allclose(models.detector[0].origin, [-172.5, 172.5, -240])
    assert np.allclose(models.detector[0].pixel_size, 0.15) and models.beam.wavelength == 1.08
    assert models.scan.oscillation_deg == (0, 1) and models.exposure_time == 20
    assert models.epoch == 881231028  # date -u -d '1997-12-04 10:23:48' +%s
    assert reader.read()[0].sum(dtype=np.int64) == 950724595


@pytest.mark.parametrize("part", [0.3, 0.9999])
def test_a_short_mar345_is_an_error(tmp_path, part):
    content = read_all(shared_data("images") / "example.mar2300.bz2").tobytes()
    path = tmp_path / "a.mar2300"
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(
        FileFormatError, match=rf"a\.mar2300: end of the file: expected.*found {int(part * len(content))}"
    ):
        open_image(path).read()


@pytest.mark.parametrize("width", [3, 4])
def test_the_end_of_packed_pixels(width):
    # Two blocks: 4 pixels of 5 (3) bits, 8 pixels of 0 bits; 2 * 6 + 20 = 32 bits, or 2 * 8 + 12 = 28 bits.
    sizes = np.array([0, 4, 5, 6] if width == 3 else [0, 3, 3, 3], dtype=np.int64)
    block = 2 | 2 << width
    place = 2 * width + 4 * int(sizes[2])
    data = np.frombuffer((block | 3 << place).to_bytes(8, "little"), np.uint8).copy()
    assert packed_end(data, 12, width, sizes) == 4
    assert packed_end(data[:4], 12, width, sizes) == 4
    assert packed_end(data[:2], 12, width, sizes) == -1


@pytest.mark.parametrize("first", [0, 1])
def test_overflows_are_put_where_the_marks_are(first):
    flat = np.full(10, 7, dtype=np.uint32)
    flat[[3, 6, 7]] = 65535
    _put_overflows(flat, np.array([[3 + first, 70000], [6 + first, 80000], [7 + first, 90000]], dtype=np.int32))
    assert flat.tolist() == [7, 7, 7, 70000, 7, 7, 80000, 90000, 7, 7]
