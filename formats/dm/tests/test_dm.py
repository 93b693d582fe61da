"""Digital Micrograph files. DIALS's numbers are those of dxtbx 3.12."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.electrons import electron_wavelength
from spindle_lib_readers.testing.images import write_dm

PIXELS = np.arange(30 * 40, dtype=np.int32).reshape(30, 40)
GIVEN = FormatOptions(distance=1000.0)


@pytest.mark.parametrize(("voltage", "expected"), [(100e3, 0.037014), (200e3, 0.025079), (300e3, 0.019687)])
def test_wavelengths_of_electrons(voltage, expected):
    # The usual table of relativistic wavelengths, such as Reimer & Kohl, Transmission Electron Microscopy.
    assert electron_wavelength(voltage) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("kind", ["i4", "u2", "f4"])
def test_pixels_and_tags(tmp_path, version, kind):
    reader = open_image(write_dm(tmp_path / "a_001.dm", PIXELS.astype(kind), version), options=GIVEN)
    models = reader.models()
    assert reader.format == "dm" and np.array_equal(reader.read()[0], PIXELS)
    assert models.beam.wavelength == pytest.approx(0.025079, abs=1e-6) and models.beam.probe == "electron"
    assert np.allclose(models.detector[0].pixel_size, 0.015)
    assert np.allclose(models.detector[0].origin, [-0.3, 0.225, -1000])


def test_stacks(tmp_path):
    stack = np.stack([PIXELS + i for i in range(3)])
    reader = open_image(write_dm(tmp_path / "a.dm4", stack), options=GIVEN)
    assert reader.n_images == 3
    for i in (2, 0, 1):
        assert np.array_equal(reader.read(i)[0], stack[i])


@pytest.mark.parametrize("version", [3, 4])
def test_a_thumbnail_larger_than_the_image_is_not_taken(tmp_path, version):
    reader = open_image(write_dm(tmp_path / "a.dm", PIXELS, version, thumbnail=64), options=GIVEN)
    assert np.array_equal(reader.read()[0], PIXELS)


def test_calibration_and_stage(tmp_path):
    # A pixel of 15 um that subtends 0.02 1/nm with 0.025079 angstrom: 0.015 / (2e7 * 2.5079e-12) mm.
    models = open_image(write_dm(tmp_path / "a.dm3", PIXELS, 3, per_nm=0.02, alpha=-12.5)).models()
    assert models.detector[0].distance == pytest.approx(299.05, abs=0.01)
    assert models.scan.oscillation_deg == (-12.5, 0.0)


def test_a_distance_is_needed(tmp_path):
    with pytest.raises(FileFormatError, match=r"a\.dm4.*geometry\.detector\.distance="):
        open_image(write_dm(tmp_path / "a.dm4", PIXELS)).models()


def test_oneview():
    reader = open_image(shared_data("images") / "Gatan_float32_zero_array_001.dm4.gz", options=GIVEN)
    models = reader.models()
    assert models.detector[0].image_size == (4096, 4096) and models.exposure_time == 3.0
    # DIALS: the same x and y, 2000 mm. The file: 0.0156 1/nm per pixel, "Actual Magnification" 488.343.
    assert np.allclose(models.detector[0].origin, [-30.72, 30.72, -488.383], atol=0.01)
    assert models.scan.oscillation_deg[0] == pytest.approx(-40.97)  # "image_0, angle_-40.97"
    assert models.detector[0].gain == pytest.approx(25.185, abs=1e-3)  # 0.0397063 electrons per count
    assert models.beam.wavelength == pytest.approx(0.019687, abs=1e-6)  # 300 kV
    image = reader.read()[0]
    assert image.dtype == np.float32 and not image.any()
