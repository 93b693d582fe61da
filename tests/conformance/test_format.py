"""The first-party formats pass the contract that strangers' formats have to pass."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.testing.format import ExpectedImage, FormatContract
from spindle_lib_readers.testing.electrons import write_mib, write_mrc, write_ser, write_tvips
from spindle_lib_readers.testing.images import (
    write_bruker,
    write_dm,
    write_dtrek,
    write_edf,
    write_ge,
    write_marccd,
    write_smv,
)
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx

PIXELS = np.random.default_rng(3).integers(-2, 40000, size=(60, 97)).astype(np.int32)
STACK = np.random.default_rng(3).integers(0, 4095, size=(3, 60, 96)).astype(np.uint16)
CHIPS = np.random.default_rng(4).integers(0, 2, size=(3, 512, 512)).astype(np.uint16)


class TestCbf(FormatContract):
    name = "cbf"

    @pytest.fixture
    def expected(self):
        return ExpectedImage(
            pixels=[[PIXELS]], wavelength=1.0, distance=100.0, beam_centre=(10.5, 8.25), pixel_size=(0.172, 0.172), start=0.0,
            width=0.5, trusted_range=(0.0, 1048500.0), exposure_time=0.1,
        )  # fmt: skip

    @pytest.fixture(params=["", ".gz", ".bz2"])
    def image_file(self, request, tmp_path):
        return write_mini_cbf(tmp_path / f"image_0001.cbf{request.param}", PIXELS)


class TestUncompressedPixels(FormatContract):
    name = "cbf"

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_mini_cbf(tmp_path / "image_0001.cbf", PIXELS, compress=False)


class TestSmv(FormatContract):
    name = "smv"

    @pytest.fixture
    def expected(self):
        return ExpectedImage(
            pixels=[[np.maximum(PIXELS, 0)]], wavelength=0.9, distance=80.5, pixel_size=(0.1, 0.1), start=10.0, width=0.5,
            exposure_time=2.5,
        )  # fmt: skip

    @pytest.fixture(params=["", ".bz2"])
    def image_file(self, request, tmp_path):
        return write_smv(tmp_path / f"image_0001.img{request.param}", PIXELS)


class TestMar(FormatContract):
    name = "mar"

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_marccd(tmp_path / "image_0001.mccd", PIXELS)


class TestBruker(FormatContract):
    name = "bruker"

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_bruker(tmp_path / "image_0001.sfrm", PIXELS[:48, :64])


class TestNexus(FormatContract):
    name = "nexus"

    @pytest.fixture(params=["bitshuffle", "plain"])
    def image_file(self, request, tmp_path):
        hdf5plugin = pytest.importorskip("hdf5plugin")
        options = hdf5plugin.Bitshuffle() if request.param == "bitshuffle" else {}
        pixels = np.stack([PIXELS, PIXELS + 1, PIXELS.max() - PIXELS])
        return write_nxmx(tmp_path / "image_0001_master.h5", pixels, **options)


class TestEdf(FormatContract):
    name = "edf"

    @pytest.fixture(params=["", ".gz"])
    def image_file(self, request, tmp_path):
        geometry = {"PSize_1": "1e-4", "PSize_2": "1e-4", "SampleDistance": 0.1, "WaveLength": "1e-10"}
        return write_edf(tmp_path / f"image_0001.edf{request.param}", PIXELS, **geometry)


class TestEdfFrames(FormatContract):
    name = "edf"
    options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_edf(tmp_path / "image_0001.edf", PIXELS, frames=3)


class TestTiffPages(FormatContract):
    name = "tiff"
    options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))

    @pytest.fixture
    def image_file(self, tmp_path):
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(tmp_path / "image_0001.tif", STACK, photometric="minisblack")
        return tmp_path / "image_0001.tif"


class TestTiff(FormatContract):
    name = "tiff"

    @pytest.fixture
    def image_file(self, tmp_path):
        tifffile = pytest.importorskip("tifffile")
        text = "# Pixel_size 1e-4 m x 1e-4 m\n# Wavelength 1.0 A\n# Detector_distance 0.1 m\n"
        tifffile.imwrite(tmp_path / "image_0001.tif", PIXELS, description=text)
        return tmp_path / "image_0001.tif"


class TestRigaku(FormatContract):
    name = "rigaku"

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_dtrek(tmp_path / "image_0001.img", PIXELS)


class TestImageio(FormatContract):
    name = "imageio"
    expected_failures = {"test_opening_does_not_read_the_pixels": "it reads what headers do not tell from the pixels"}
    options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))

    @pytest.fixture
    def image_file(self, tmp_path):
        iio = pytest.importorskip("imageio.v3")
        iio.imwrite(tmp_path / "image_0001.png", np.abs(PIXELS).astype(np.uint16))
        return tmp_path / "image_0001.png"


class TestFabio(FormatContract):
    name = "fabio"
    expected_failures = {"test_opening_does_not_read_the_pixels": "fabio reads a whole file to open it"}
    options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_ge(tmp_path / "image_0001.ge", np.abs(PIXELS))


class TestGeFrames(FormatContract):
    name = "fabio"
    expected_failures = {"test_opening_does_not_read_the_pixels": "fabio reads a whole file to open it"}
    options = FormatOptions(wavelength=1.0, distance=100.0, pixel_size=(0.1, 0.1))

    @pytest.fixture
    def image_file(self, tmp_path):
        return write_ge(tmp_path / "image_0001.ge", np.abs(PIXELS), frames=3)


class TestDm(FormatContract):
    name = "dm"
    options = FormatOptions(distance=1000.0)

    @pytest.fixture(params=["", ".gz"])
    def image_file(self, request, tmp_path):
        return write_dm(tmp_path / f"image_0001.dm4{request.param}", PIXELS)


class TestDmStack(FormatContract):
    name = "dm"
    options = FormatOptions(distance=1000.0)

    @pytest.fixture(params=[3, 4])
    def image_file(self, request, tmp_path):
        return write_dm(tmp_path / f"image_0001.dm{request.param}", STACK, request.param)


class TestMrc(FormatContract):
    name = "mrc"
    options = FormatOptions(wavelength=0.0251, distance=1000.0, pixel_size=(0.014, 0.014))

    @pytest.fixture(params=["", ".gz", ".bz2"])
    def image_file(self, request, tmp_path):
        return write_mrc(tmp_path / f"image_0001.mrc{request.param}", STACK)


class TestSer(FormatContract):
    name = "ser"
    options = FormatOptions(wavelength=0.0251, pixel_size=(0.014, 0.014))

    @pytest.fixture(params=["", ".gz"])
    def image_file(self, request, tmp_path):
        return write_ser(tmp_path / f"image_1.ser{request.param}", STACK)


class TestTvips(FormatContract):
    name = "tvips"
    options = FormatOptions(distance=1000.0)

    @pytest.fixture(params=[None, 2])
    def image_file(self, request, tmp_path):
        return write_tvips(tmp_path / "image_000.tvips", STACK, per_file=request.param)


class TestMib(FormatContract):
    name = "mib"
    options = FormatOptions(wavelength=0.0251, distance=1000.0)

    @pytest.fixture(params=["1x1", "2x2", "raw 2x2"])
    def image_file(self, request, tmp_path):
        layout = request.param.split()[-1]
        images = CHIPS if layout == "2x2" else CHIPS[:, :256, :256]
        return write_mib(tmp_path / "image_0001.mib", images, 1, layout, raw="raw" in request.param)
