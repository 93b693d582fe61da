"""Bruker frames. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_bruker

PIXELS = np.arange(64 * 32, dtype=np.int32).reshape(64, 32)


def test_header_and_pixels(tmp_path):
    reader = open_image(write_bruker(tmp_path / "a_0001.sfrm", PIXELS))
    models = reader.models()
    panel = models.detector[0]
    assert reader.format == "bruker" and np.array_equal(reader.read()[0], PIXELS)
    pixel = 10 / 32 * 512 / 64
    assert panel.image_size == (32, 64) and np.allclose(panel.pixel_size, pixel)
    s, c = 0.5, math.sqrt(0.75)
    assert np.allclose(panel.fast_axis, [c, 0, -s]) and np.allclose(panel.slow_axis, [0, -1, 0])
    assert np.allclose(panel.origin, [-8 * pixel * c - 65 * s, (64 - 20) * pixel, 8 * pixel * s - 65 * c])
    assert models.scan.oscillation_deg == (12, 0.5) and models.exposure_time == 5.5 and models.epoch == 1071229547
    assert models.beam.polarization_fraction == 0.5
    assert models.goniometer.names == ("PHI", "CHI", "OMEGA")
    assert np.allclose(models.goniometer.angles_deg, [40, 54.7, 12])


def test_a_decreasing_phi_turns_its_axis_round(tmp_path):
    models = open_image(write_bruker(tmp_path / "a.sfrm", PIXELS, AXIS="3", INCREME="-0.5", START="40.0")).models()
    assert models.goniometer.scan_axis == 0 and np.allclose(models.goniometer.rotation_axis, [0, 1, 0])
    assert models.scan.oscillation_deg == (-40, 0.5)


def test_missing_items(tmp_path):
    with pytest.raises(FileFormatError, match=r"a\.sfrm.*WAVELEN.*wavelength="):
        open_image(write_bruker(tmp_path / "a.sfrm", PIXELS, WAVELEN="")).models()
    with pytest.raises(FileFormatError, match="NROWS"):
        open_image(write_bruker(tmp_path / "b.sfrm", PIXELS, NROWS="?")).models()


def test_photon_ii():
    reader = open_image(shared_data("images") / "mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2")
    models = reader.models()
    panel = models.detector[0]
    assert np.allclose(panel.origin, [144.99982223642937, -68.10508955803932, -30.28694469302214], atol=1e-6)
    assert np.allclose(panel.fast_axis, [-0.1547103862994675, 0, 0.9879598657693892], atol=1e-9)
    assert np.allclose(panel.pixel_size, 0.1352999890298769) and panel.gain == pytest.approx(7.101292434)
    assert models.scan.oscillation_deg == (158, 4)
    assert np.allclose(models.goniometer.axes, [[0, -1, 0], [0, 0, 1], [0, 1, 0]])
    image = reader.read()[0]
    # NCOUNTS of the header in single precision; DIALS has 64 where the table of underflows has 0.
    assert np.float32(image.sum()) == np.float32(149522432) and image.min() == 0 and image.max() == 22936


def test_photon_ii_without_underflows():
    reader = open_image(shared_data("images") / "mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2")
    assert np.allclose(reader.models().detector[0].origin, [133.92410384450847, -68.10508955803932, -36.4176197403073])
    assert reader.read()[0].sum() == 69045855


def test_format_86():
    reader = open_image(shared_data("images") / "Cr8F8140k103.0026.bz2")
    models = reader.models()
    panel = models.detector[0]
    assert panel.image_size == (512, 512) and panel.distance == pytest.approx(105.0)
    assert panel.trusted_range == (0, 524280)
    assert models.beam.polarization_fraction == 0.999 and models.goniometer.scan_axis == 0
    assert models.scan.oscillation_deg == pytest.approx((-84.8000031, 0.2000046))
    image = reader.read()[0]
    assert image.max() == 145942  # MAXIMUM of the header
    # The scatter of air and glass is the same on both sides of the beam, as the header gives it.
    fast, slow = (int(v) for v in models.detector.beam_centre_px(models.beam.s0, 0))
    here, there = (
        _symmetry(image, fast, row) for row in (slow, 240)
    )  # 240 is what CENTER says, counted from the bottom
    assert here > 0.85 and here > there + 0.2


def _symmetry(image, fast, slow, n=180):
    """How alike both sides of a place are."""
    around = np.clip(image[slow - n : slow + n + 1, fast - n : fast + n + 1], 0, 20000).astype(float)
    return np.corrcoef(around.ravel(), around[::-1, ::-1].ravel())[0, 1]
