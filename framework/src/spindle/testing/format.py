"""What every image format must do.

>>> class TestMine(FormatContract):
...     name = "mine"
...
...     @pytest.fixture
...     def image_file(self, tmp_path):
...         return write_an_image_of_my_format(tmp_path / "image_0001.mine")
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.format import ImageModels, ImageReader
from spindle.errors import SpindleError
from spindle.images.compressed import read_head
from spindle.models import Beam, Detector, Goniometer, Scan

from .chunks import decode_chunk
from .contract import PluginContract
from .cost import best_cpu_time, slowness
from .damaged_images import DamagedImages
from .expected_image import ExpectedImage

__all__ = ["ExpectedImage", "FormatContract"]


class FormatContract(DamagedImages, PluginContract):
    """Conformance tests of the ``format`` slot; needs the fixture `image_file`, and `expected` for what the file holds.

    Attributes
    ----------
    budget_us : float
        Most CPU time per pixel in microseconds, with 0.05 s for each image.
    """

    slot: ClassVar[str] = "format"
    budget_us: ClassVar[float] = 2.0

    @pytest.fixture
    def image_file(self, tmp_path: Path) -> Path:
        """A small image file of the format."""
        raise NotImplementedError("a subclass of FormatContract has to define the fixture `image_file`")

    @pytest.fixture
    def reader(self, plugin: Any, image_file: Path) -> ImageReader:
        """The image, opened as the host does."""
        reader = plugin.open_image(path=image_file, head=read_head(image_file), options=self.options)
        assert isinstance(reader, ImageReader)
        return reader

    @pytest.fixture
    def expected(self) -> ExpectedImage:
        """What is known of `image_file`."""
        pytest.skip(
            "define the fixture `expected` of this test (spindle.testing.format.ExpectedImage): pixels, wavelength, distance ... of `image_file`"
        )

    def test_pixels_are_those_of_the_file_the_right_way_up(self, reader: ImageReader, expected: ExpectedImage) -> None:
        if expected.pixels is None:
            pytest.skip("`expected` names no pixels")
        assert reader.n_images == len(expected.pixels)
        for index, panels in enumerate(expected.pixels):
            for number, (found, true) in enumerate(zip(reader.read(index), panels, strict=True)):
                where = f"image {index}, panel {number}"
                assert found.shape == true.shape, where
                for way, name in ((np.flipud(true), "upside down"), (np.fliplr(true), "mirrored")):
                    same = np.array_equal(found, way) and not np.array_equal(found, true)
                    assert not same, f"{where} is {name}"
                np.testing.assert_array_equal(found, true, err_msg=where)

    def test_models_are_those_of_the_file(self, reader: ImageReader, expected: ExpectedImage) -> None:
        models = reader.models(0)
        panel = models.detector[0]
        if expected.wavelength is not None:
            assert models.beam.wavelength == pytest.approx(expected.wavelength, rel=1e-4), "wavelength in angstrom"
        if expected.pixel_size is not None:
            assert tuple(panel.pixel_size) == pytest.approx(expected.pixel_size, rel=1e-4), "pixel size in mm"
        if expected.distance is not None:
            assert abs(panel.origin @ panel.normal) == pytest.approx(expected.distance, rel=1e-4), "distance in mm"
        if expected.beam_centre is not None:
            x, y, z = models.detector.D[0] @ models.beam.s0
            centre = np.array([x, y]) / z / panel.pixel_size
            assert tuple(centre) == pytest.approx(expected.beam_centre, abs=0.02), (
                "beam centre in pixels from the corner"
            )
        if expected.width is not None:
            assert models.scan is not None, "the file has angles, and there is no scan"
            start, width = np.degrees(models.scan.oscillation)
            assert width == pytest.approx(expected.width, rel=1e-4), "width of an image in degrees"
            if expected.start is not None:
                assert start == pytest.approx(expected.start, abs=1e-4), "start of an image in degrees"
        if expected.trusted_range is not None:
            assert tuple(panel.trusted_range) == pytest.approx(expected.trusted_range), "trusted range"
        if expected.exposure_time is not None:
            assert models.exposure_time == pytest.approx(expected.exposure_time, rel=1e-3), "exposure time in seconds"

    def test_models_of_every_image_follow_one_another(self, reader: ImageReader) -> None:
        scans = [reader.models(i).scan for i in range(reader.n_images)]
        for one, other in itertools.pairwise(scans):
            if one is not None and other is not None and one.oscillation[1] != 0:
                step = other.oscillation[0] - one.oscillation[0]
                assert step == pytest.approx(one.oscillation[1], rel=1e-3, abs=1e-9), "images overlap or leave gaps"

    def test_each_image_has_memory_of_its_own(self, plugin: Any, reader: ImageReader, image_file: Path) -> None:
        first = reader.read(0)
        other = image_file.with_name("other_" + image_file.name)
        other.write_bytes(image_file.read_bytes())
        elsewhere = plugin.open_image(path=other, head=read_head(other), options=self.options)
        for again in (reader.read(0), reader.read(reader.n_images - 1), elsewhere.read(0)):
            for one, two in zip(first, again, strict=False):
                assert not np.shares_memory(one, two), "two images share their memory: the second overwrites the first"
                assert two.flags.writeable

    def test_opening_does_not_read_the_pixels(self, plugin: Any, reader: ImageReader, image_file: Path) -> None:
        """Memory that is asked for while a file is opened that goes on for long behind its end."""
        size = 96 * 2**20
        long = image_file.with_name("long_" + image_file.name)
        long.write_bytes(image_file.read_bytes())
        os.truncate(long, size)
        tracemalloc.start()
        try:
            with contextlib.suppress(SpindleError):
                opened = plugin.open_image(path=long, head=read_head(long), options=self.options)
                opened.models(0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < size // 2, f"opening takes {peak / 2**20:.0f} MB: it reads the whole file"

    def test_opening_asks_for_less_memory_than_the_pixels(
        self, plugin: Any, reader: ImageReader, image_file: Path
    ) -> None:
        pixels = reader.n_images * sum(int(np.prod(p.image_size)) for p in reader.models(0).detector)
        if pixels < 200_000 or image_file.stat().st_size < 100_000:
            pytest.skip("this file is too small to tell")
        tracemalloc.start()
        try:
            plugin.open_image(path=image_file, head=read_head(image_file), options=self.options).models(0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < pixels, "opening reads the pixels; read them when they are asked for"

    @pytest.mark.parametrize("ending", [".gz", ".bz2"])
    def test_compressed_files_are_read_or_not_understood(
        self, plugin: Any, reader: ImageReader, image_file: Path, ending: str
    ) -> None:
        if image_file.suffix in (".gz", ".bz2"):
            pytest.skip("this file is compressed already")
        packed = image_file.with_name(image_file.name + ending)
        pack = gzip.compress if ending == ".gz" else bz2.compress
        packed.write_bytes(pack(image_file.read_bytes()))
        if not plugin.understand(path=packed, head=read_head(packed)):
            return
        found = plugin.open_image(path=packed, head=read_head(packed), options=self.options).read(0)
        assert all(np.array_equal(a, b) for a, b in zip(found, reader.read(0), strict=True))

    def test_reading_keeps_within_the_budget(self, reader: ImageReader) -> None:
        out = reader.read(0)
        n = sum(a.size for a in out)
        reader.read(reader.n_images - 1)
        budget = self.budget_us * n * 1e-6 + 0.05
        if best_cpu_time(lambda: reader.read(0, out), 2) > budget:
            needed = best_cpu_time(lambda: reader.read(0, out))
            assert needed < budget * slowness(), f"reading takes {needed / n * 1e6:.2f} microseconds per pixel"

    def test_understands_its_own_file(self, plugin: Any, image_file: Path) -> None:
        assert plugin.understand(path=image_file, head=read_head(image_file)) is True

    @pytest.mark.parametrize(
        "head",
        [
            b"",
            b"\x00" * 1000,
            bytes(range(256)) * 8,
            b"hello\n",
            b"\xff\xd8\xff\xe0JFIF",
            "grün".encode("latin-1") * 100,
        ],
        ids=["empty", "zeros", "all bytes", "text", "jpeg", "no utf-8"],
    )
    def test_refuses_what_it_does_not_know_without_raising(self, plugin: Any, head: bytes) -> None:
        assert plugin.understand(path=Path("anything_0001.dat"), head=head) is False
        if plugin.implements("refusal"):
            assert isinstance(plugin.refusal(path=Path("anything_0001.dat"), head=head), str)

    def test_any_beginning_of_a_file_is_judged_without_raising(self, plugin: Any, image_file: Path) -> None:
        head = read_head(image_file)
        for length in (1, 7, 20, 100, 500, 1000, 2000):
            assert plugin.understand(path=image_file, head=head[:length]) in (True, False)

    def test_does_not_look_at_the_file_name_alone(self, plugin: Any, image_file: Path) -> None:
        assert plugin.understand(path=image_file, head=b"something else altogether") is False

    def test_models_are_complete(self, reader: ImageReader) -> None:
        for index in range(reader.n_images):
            models = reader.models(index)
            assert isinstance(models, ImageModels)
            assert isinstance(models.beam, Beam) and isinstance(models.detector, Detector)
            assert models.goniometer is None or isinstance(models.goniometer, Goniometer)
            assert models.scan is None or isinstance(models.scan, Scan)
            if models.scan is not None:
                assert models.scan.n_images == 1
            assert models.exposure_time >= 0 and models.epoch >= 0
            for panel in models.detector:
                assert min(panel.image_size) > 0 and np.all(panel.pixel_size > 0)
                assert panel.trusted_range[0] <= panel.trusted_range[1]

    def test_models_are_the_same_when_asked_again(self, reader: ImageReader) -> None:
        first, second = reader.models(0), reader.models(0)
        assert first.beam.wavelength == second.beam.wavelength
        assert np.array_equal(first.detector.geometry.d, second.detector.geometry.d)

    def test_pixels_fit_the_panels(self, reader: ImageReader) -> None:
        panels = reader.models(0).detector
        arrays = reader.read(0)
        assert len(arrays) == len(panels)
        for array, panel in zip(arrays, panels, strict=True):
            assert array.shape == (panel.image_size[1], panel.image_size[0])
            assert array.dtype in (np.int32, np.float32)

    def test_memory_is_used_again(self, reader: ImageReader) -> None:
        first = reader.read(0)
        expected = [a.copy() for a in first]
        for array in first:
            array[...] = 77
        again = reader.read(0, first)
        for one, other, wanted in zip(first, again, expected, strict=True):
            assert np.array_equal(other, wanted)
            assert np.shares_memory(one, other), "read(out=...) should fill the arrays that it is given when they fit"

    def test_wrong_memory_is_left_alone(self, reader: ImageReader) -> None:
        expected = reader.read(0)
        wrong = [np.full((2, 3), 5, dtype=np.int32)]
        found = reader.read(0, wrong)
        assert np.all(wrong[0] == 5)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))

    def test_images_keep_their_values_when_others_are_read(
        self, plugin: Any, reader: ImageReader, image_file: Path
    ) -> None:
        first = reader.read(0)
        expected = [a.copy() for a in first]
        other = image_file.with_name("other_" + image_file.name)
        other.write_bytes(image_file.read_bytes())
        plugin.open_image(path=other, head=read_head(other), options=self.options).read(0)
        reader.read(reader.n_images - 1)
        assert all(np.array_equal(a, b) for a, b in zip(first, expected, strict=True))

    def test_the_order_of_reading_does_not_matter(self, plugin: Any, reader: ImageReader, image_file: Path) -> None:
        numbers = list(range(reader.n_images))
        expected = [reader.read(i) for i in numbers]
        again = plugin.open_image(path=image_file, head=b"", options=self.options)
        out: list[np.ndarray] | None = None
        for i in [*reversed(numbers), *numbers[1::2], *numbers[::2]]:
            out = again.read(i, out)
            assert all(np.array_equal(a, b) for a, b in zip(out, expected[i], strict=True)), f"image {i}"

    def test_several_threads_may_read_at_once(self, plugin: Any, reader: ImageReader, image_file: Path) -> None:
        numbers = list(range(reader.n_images))
        expected = [reader.read(i) for i in numbers]
        shared = plugin.open_image(path=image_file, head=b"", options=self.options)
        wrong: list[str] = []

        def work(first: int) -> None:
            out: list[np.ndarray] | None = None
            for turn in range(3):
                for i in numbers[first % len(numbers) :] + numbers[: first % len(numbers)]:
                    try:
                        out = shared.read(i, out)
                    except Exception as error:  # shown by the test, not by the thread
                        wrong.append(f"image {i}: {error!r}")
                    else:
                        if not all(np.array_equal(a, b) for a, b in zip(out, expected[i], strict=True)):
                            wrong.append(f"image {i}, turn {turn}")

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_images_beyond_the_last_are_refused(self, reader: ImageReader) -> None:
        for index in (reader.n_images, -1):
            with pytest.raises(IndexError):
                reader.read(index)
            with pytest.raises(IndexError):
                reader.models(index)

    def test_a_stored_image_decodes_to_what_is_read(self, reader: ImageReader) -> None:
        for index in {0, reader.n_images - 1}:
            chunk, pixels = reader.read_chunk(index), reader.read(index)
            decoded = None if chunk is None else decode_chunk(chunk)
            if decoded is not None and len(pixels) == 1:
                assert chunk is not None and decoded.shape == chunk.shape
                np.testing.assert_array_equal(pixels[0], decoded.astype(pixels[0].dtype))

    def test_mask_fits_the_panels(self, reader: ImageReader) -> None:
        masks = reader.mask()
        if masks is None:
            return
        for mask, panel in zip(masks, reader.models(0).detector, strict=True):
            assert mask.shape == (panel.image_size[1], panel.image_size[0]) and mask.dtype == np.bool_
