"""d*TREK, R-AXIS and Oxford Diffraction images. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle.testing.images import write_dtrek

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


def raxis(tmp_path, raw: np.ndarray):
    head = bytearray(1400)
    head[:5] = b"RAXIS"
    floats = {292: 1.5418, 344: 100, 524: 10, 528: 10.5, 536: 2, 540: 10, 544: 12, 776: 0.1, 780: 0.1, 800: 8}
    for place, value in floats.items():
        struct.pack_into(">f", head, place, value)
    for place, value in {768: raw.shape[1], 772: raw.shape[0], 784: 2000}.items():
        struct.pack_into(">i", head, place, value)
    lines = [row.astype(">u2").tobytes().ljust(2000, b"\0") for row in raw]
    (tmp_path / "a_0001.osc").write_bytes(bytes(head).ljust(2000, b"\0") + b"".join(lines))
    return tmp_path / "a_0001.osc"


def test_raxis(tmp_path):
    raw = PIXELS.copy()
    raw[3, 4] = 32768 + 5000
    reader = open_image(raxis(tmp_path, raw))
    models = reader.models()
    expected = PIXELS.copy()
    expected[3, 4] = 8 * 5000
    assert np.array_equal(reader.read()[0], expected)
    assert np.allclose(models.detector[0].origin, [-1, 1.2, -100])
    assert models.beam.wavelength == pytest.approx(1.5418)
    assert models.scan.oscillation_deg == pytest.approx((10, 0.5)) and models.exposure_time == 120


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
    assert abs(centre[1]) < 1e-4 and angle == pytest.approx(180 - 20, abs=1e-3)
    assert "invert_rotation_axis" in models.notes[0]
