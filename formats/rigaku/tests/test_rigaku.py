"""d*TREK, R-AXIS and Oxford Diffraction images. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import numpy as np
import pytest
from fabio.compression import agi_bitfield
from hypothesis import given, settings
from hypothesis import strategies as st
from spindle_format_rigaku.kernels import decode_bit_fields

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_dtrek, write_raxis

PIXELS = np.arange(24 * 20, dtype=np.int32).reshape(24, 20)


def test_dtrek_is_placed_as_in_dials(tmp_path):
    reader = open_image(write_dtrek(tmp_path / "a_0001.img", PIXELS))
    models = reader.models()
    panel = models.detector[0]
    assert reader.format == "rigaku" and np.array_equal(reader.read()[0], PIXELS)
    assert np.allclose(panel.fast_axis, [1, 0, 0])
    assert np.allclose(panel.slow_axis, [0, -0.9396926207859084, -0.3420201433256687])
    assert np.allclose(panel.origin, [-0.9, 16.40577448010387, -41.91678618057414])
    assert models.beam.wavelength == 0.71 and models.beam.polarization_fraction == 0.5
    assert np.allclose(models.goniometer.rotation_axis, [1, 0, 0])
    assert models.scan.oscillation_deg == (20, 0.5) and models.exposure_time == 10 and models.epoch == 1265019072


def test_dtrek_with_broken_items_names_them(tmp_path):
    with pytest.raises(FileFormatError, match=r"a\.img.*CCD_GONIO_VALUES.*expected 6"):
        open_image(write_dtrek(tmp_path / "a.img", PIXELS, CCD_GONIO_VALUES="0 0")).models()


@pytest.mark.parametrize("order", [">", "<"])
def test_raxis(tmp_path, order):
    raw = PIXELS.copy()
    raw[3, 4] = 32768 + 5000
    reader = open_image(write_raxis(tmp_path / "a_0001.osc", raw, order, padding=4))
    models = reader.models()
    expected = PIXELS.copy()
    expected[3, 4] = 8 * 5000
    assert np.array_equal(reader.read()[0], expected)
    assert np.allclose(models.detector[0].origin, [1.8, -1, -100])
    assert models.beam.wavelength == pytest.approx(1.5418)
    assert models.scan.oscillation_deg == pytest.approx((10, 0.5)) and models.exposure_time == 120


def test_raxis_says_what_it_cannot_place(tmp_path):
    reader = open_image(write_raxis(tmp_path / "a_0001.osc", PIXELS, at556=20.0))
    assert "byte 556" in reader.models().notes[0]
    content = bytearray(write_raxis(tmp_path / "b_0001.osc", PIXELS).read_bytes())
    content[448:452] = b"\0\0\0\1"
    (tmp_path / "b_0001.osc").write_bytes(bytes(content))
    with pytest.raises(FileFormatError, match=r"b_0001\.osc.*cylinder"):
        open_image(tmp_path / "b_0001.osc").models()


def test_crysalis():
    folder = shared_data("images")
    packed = open_image(folder / "b191_1_9_1.img.bz2")
    plain = open_image(folder / "b191_1_9_1_uncompressed.img.bz2")
    image = packed.read()[0]
    assert np.array_equal(image, plain.read()[0]) and (image.min(), image.max()) == (-500, 11975)
    models = packed.models()
    # As fabio prints the header.
    assert models.beam.wavelength == 0.71073 and models.exposure_time == 30.0
    assert models.detector[0].distance == pytest.approx(49.82849)
    assert np.allclose(models.detector[0].pixel_size, 0.11984945141880113)
    assert models.scan.oscillation_deg == pytest.approx((6.0, 0.8))
    centre = models.detector.lab_coordinate(0, [[492.88815 / 2 * 0.11984945, 523.0701 / 2 * 0.11984945]])[0]
    angle = np.degrees(np.arctan2(centre[0], centre[2]))
    assert abs(centre[1]) < 0.4 and angle == pytest.approx(20 - 180, abs=0.02)  # the detector is mounted 0.4 deg askew
    # The shadow of the beam stop, about a centimetre in front of the sample, lies about the beam.
    fast, slow = models.detector.beam_centre_px(models.beam.s0, 0)
    assert abs(fast - 398) < 1 and abs(slow - 259) < 1
    assert (
        image[int(slow) - 6 : int(slow) + 6, 402:412].mean()
        < 5
        < 40
        < image[int(slow) - 6 : int(slow) + 6, 90:100].mean()
    )
    assert models.goniometer.names == ("PHI", "KAPPA", "OMEGA") and np.allclose(
        models.goniometer.rotation_axis, [0, -1, 0]
    )


def ty6(tmp_path, pixels, shift=0):
    """A CrysAlis image of compression TY6 with an empty header."""
    lines = ["OD SAPPHIRE  4.0", "COMPRESSION=TY6 ( 25.1)", f"NX={pixels.shape[1]:4d} NY={pixels.shape[0]:4d} OI=      0 OL=      0",
             "NHEADER=   5120 NG=    512 NS=    768 NK=   1024 NS=    512 NH=   2048", ""]  # fmt: skip
    head = "\r\n".join(lines).encode().ljust(5120, b"\0")
    packed = agi_bitfield.compress(pixels)
    n = int.from_bytes(packed[:4], "little") + shift
    path = tmp_path / "a_1_1.rodhypix"
    path.write_bytes(head + n.to_bytes(4, "little") + packed[4:])
    return path


@pytest.mark.parametrize("shape", [(5, 1), (7, 16), (9, 17), (40, 70)])
def test_bit_fields_as_fabio_writes_them(tmp_path, shape):
    rng = np.random.default_rng(shape[1])
    pixels = rng.poisson(2.0, shape).astype(np.int32)
    pixels[rng.random(shape) < 0.1] = 300
    pixels[rng.random(shape) < 0.05] = -(2**20)
    assert np.array_equal(open_image(ty6(tmp_path, pixels)).read()[0], pixels)
    # Rows of equal pixels take no bits at all.
    assert np.array_equal(open_image(ty6(tmp_path, np.full(shape, 9, np.int32))).read()[0], np.full(shape, 9))


def test_damaged_bit_fields_are_named(tmp_path):
    pixels = np.arange(400, dtype=np.int32).reshape(20, 20)
    with pytest.raises(FileFormatError, match=r"a_1_1\.rodhypix.*expected 20 rows.*corrupt"):
        open_image(ty6(tmp_path, pixels, -4)).read()
    path = ty6(tmp_path, pixels)
    path.write_bytes(path.read_bytes()[: -4 * 20])
    assert np.array_equal(open_image(path).read()[0], pixels)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(FileFormatError, match=r"a_1_1\.rodhypix.*cut short"):
        open_image(path).read()
    path.write_bytes(path.read_bytes().replace(b"TY6", b"TY9"))
    with pytest.raises(FileFormatError, match=r"COMPRESSION=.*TY6, found TY9"):
        open_image(path).read()


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_junk_bit_fields_never_crash(data):
    out = np.zeros((3, 40), np.int32)
    n_rows, n_bytes = decode_bit_fields(np.frombuffer(bytearray(data), np.uint8), np.zeros(3, np.int64), out)
    assert 0 <= n_rows <= 1 and n_bytes <= len(data) + 4
