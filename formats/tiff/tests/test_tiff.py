"""TIFF images; pixels of the real file compared with fabio."""

from __future__ import annotations

import bz2
import io

import numpy as np
import pytest
import tifffile

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data

PIXELS = np.arange(12).reshape(3, 4)
GIVEN = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.05, 0.06))
DECTRIS = """# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000450 m
# Exposure_time 0.095000 s
# Count_cutoff 60000 counts
# Wavelength 0.9 A
# Detector_distance 0.15 m
# Beam_xy (2.00, 1.00) pixels
# Start_angle 5.0000 deg.
# Angle_increment 0.5 deg.
"""


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "i4", "f4"])
def test_pixels_of_all_types(tmp_path, kind):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS.astype(kind), byteorder=">" if kind[0] == ">" else "<")
    reader = open_image(tmp_path / "a.tif", options=GIVEN)
    assert reader.format == "tiff" and np.array_equal(reader.read()[0], PIXELS)


def test_descriptions_of_dectris_detectors(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS.astype("u2"), description=DECTRIS)
    models = open_image(tmp_path / "a.tif").models()
    panel = models.detector[0]
    assert np.allclose(panel.origin, [-0.344, 0.172, -150]) and panel.trusted_range == (0, 60000)
    assert models.beam.wavelength == 0.9 and models.scan.oscillation_deg == (5, 0.5) and models.exposure_time == 0.095
    assert (panel.material, panel.thickness, panel.parallax) == ("Si", 0.45, "normalised")


def test_many_images_in_one_file(tmp_path):
    stack = np.stack([PIXELS + i for i in range(3)]).astype("u2")
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    reader = open_image(tmp_path / "a.tif", options=GIVEN)
    assert reader.n_images == 3
    for i in (2, 0, 1):
        assert np.array_equal(reader.read(i)[0], stack[i])


def test_colour_pictures_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 3), "u1"), photometric="rgb")
    with pytest.raises(FileFormatError, match=r"a\.tif.*colour"):
        open_image(tmp_path / "a.tif", options=GIVEN).models()


def test_packed_bits():
    path = shared_data("images") / "oPPA_5grains_0001.tif.bz2"
    with pytest.raises(FileFormatError, match=r"oPPA.*geometry\.beam\.wavelength="):
        open_image(path).models()
    image = open_image(path, options=GIVEN).read()[0]
    fabio = pytest.importorskip("fabio.tifimage")
    expected = fabio.TifImage().read(io.BytesIO(bz2.decompress(path.read_bytes()))).data
    assert image.shape == (2048, 2048) and np.array_equal(image, expected)
