"""Formats whose geometry comes from parameters: fabio and imageio."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data
from spindle_lib_readers.testing.images import write_ge

PIXELS = np.arange(12).reshape(3, 4)
GIVEN = FormatOptions(wavelength=0.5, distance=300.0, pixel_size=(0.2, 0.2))


def test_ge():
    path = shared_data("images") / "GE_aSI_detector_image_1529.bz2"
    with pytest.raises(FileFormatError, match=r"GE_aSI.*geometry\.beam\.wavelength="):
        open_image(path).models()
    reader = open_image(path, options=GIVEN)
    models = reader.models()
    assert reader.format == "fabio" and np.allclose(models.detector[0].origin, [-204.8, 204.8, -300])
    image = reader.read()[0]
    # Pixels from 1515 to 16353 after 8192 bytes of header, says fabio; here from the file's end.
    assert (image.min(), image.max()) == (1515, 16353) and image.sum(dtype=np.int64) == 7688289661


def test_many_images_in_one_file(tmp_path):
    reader = open_image(write_ge(tmp_path / "a.ge3", PIXELS, frames=3), options=GIVEN)
    assert reader.n_images == 3
    for i in (2, 0, 1):
        assert np.array_equal(reader.read(i)[0], PIXELS + i)
    with pytest.raises(IndexError):
        reader.read(3)


def test_kappa_ccd():
    reader = open_image(shared_data("images") / "i01f0001.kcd.bz2")
    models = reader.models()
    # Binned 55 um pixels, Dx 40 mm, mean of the two Mo lines.
    assert np.allclose(models.detector[0].pixel_size, 0.11) and models.detector[0].distance == pytest.approx(40)
    assert models.beam.wavelength == pytest.approx(0.71073, abs=1e-5)
    assert reader.read()[0].shape == (576, 625) and reader.read()[0].max() == 66814


def test_grey_png_of_16_bits(tmp_path):
    iio = pytest.importorskip("imageio.v3")
    iio.imwrite(tmp_path / "a_0001.png", (PIXELS * 5000).astype(np.uint16))
    with pytest.raises(FileFormatError, match=r"a_0001\.png.*geometry\.beam\.wavelength="):
        open_image(tmp_path / "a_0001.png").models()
    reader = open_image(tmp_path / "a_0001.png", options=GIVEN)
    assert reader.format == "imageio" and np.array_equal(reader.read()[0], PIXELS * 5000)
    assert reader.models().detector[0].trusted_range == (0, 65534)


def test_pgm(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 # made by hand\n4 3\n65535\n" + (PIXELS * 9).astype(">u2").tobytes())
    assert np.array_equal(open_image(tmp_path / "a.pgm", options=GIVEN).read()[0], PIXELS * 9)


def test_colours_and_jpeg_are_refused(tmp_path):
    iio = pytest.importorskip("imageio.v3")
    iio.imwrite(tmp_path / "a.png", np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(FileFormatError, match=r"a\.png.*colours"):
        open_image(tmp_path / "a.png", options=GIVEN).models()
    iio.imwrite(tmp_path / "a.jpg", np.zeros((5, 6), np.uint8))
    with pytest.raises(FileFormatError, match="JPEG"):
        open_image(tmp_path / "a.jpg", options=GIVEN)
