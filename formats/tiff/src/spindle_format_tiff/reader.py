"""A TIFF file opened for reading."""

from __future__ import annotations

import io
from functools import cached_property
from typing import NamedTuple

import numpy as np
import tifffile

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError, HeaderError
from spindle.geometry import sensor_depth
from spindle.images import is_compressed, read_all
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of, fill, no_beam_centre, no_rotation

from .directories import find_directories, refuse_bombs
from .header import Description


class Page(NamedTuple):
    """Facts of the first image of a file, and where the directories of all images of its size are."""

    shape: tuple[int, int]
    dtype: np.dtype
    description: str
    date: str
    offsets: tuple[int, ...]


class TiffReader(SingleImageReader):
    """A file with one or several images of one size; see `SingleImageReader`."""

    format = "tiff"

    def _open(self) -> tifffile.TiffFile:
        try:
            if is_compressed(self.path):
                return tifffile.TiffFile(io.BytesIO(read_all(self.path).tobytes()))
            return tifffile.TiffFile(self.path)
        except FileFormatError:
            raise
        except Exception as error:  # damaged files fail anywhere in the library
            raise HeaderError(self.path, "beginning of the file", "a TIFF file", error, "copy it again") from error

    @cached_property
    def page(self) -> Page:
        """The first image."""
        with self._open() as file:
            try:
                directories = find_directories(file, self.path)
                first = file.pages.first
                shape, dtype = first.shape, first.dtype
                description = "\n".join(
                    str(tag.value)
                    for name in ("ImageDescription", "Model", "Software")
                    if (tag := first.tags.get(name))
                )
                date = str(first.tags["DateTime"].value) if "DateTime" in first.tags else ""
            except FileFormatError:
                raise
            except Exception as error:  # damaged files fail anywhere in the library
                found = f"one that cannot be read ({error})"
                raise HeaderError(self.path, "first directory", "tags of TIFF", found, "copy the file again") from error
        if not all(isinstance(n, int) for n in shape):
            found = " x ".join(map(repr, shape))
            raise HeaderError(self.path, "first directory", "a height and a width", found, "copy the file again")
        if len(shape) != 2 or dtype is None or dtype.kind not in "uif":
            found = f"{' x '.join(map(str, shape))} pixels of type {dtype}"
            remedy = "write it again as such an image: a colour picture is not data"
            raise HeaderError(self.path, "first directory", "a grey image of integers or floating-point", found, remedy)
        offsets = tuple(one.offset for one in directories if one.size == directories[0].size)
        return Page((int(shape[0]), int(shape[1])), dtype, description, date, offsets)

    @property
    def n_images(self) -> int:
        """Number of images of the size of the first one."""
        return len(self.page.offsets)

    def models(self, index: int = 0) -> ImageModels:
        """Models of an image: those of the first one."""
        self._check(index)
        return self._models

    def _check(self, index: int) -> None:
        if index != 0 and not 0 <= index < self.n_images:
            raise IndexError(f"{self.path} holds {self.n_images} images; image {index} was asked for")

    def make_models(self) -> ImageModels:
        """Models of the description of the first image, as far as it goes."""
        notes: list[str] = []
        page, words = self.page, Description(self.page.description)
        numbers = words.numbers
        found = {"distance": numbers.get("Detector_distance"), "pixel_size": words.pixel_size}
        self.require("description", wavelength=numbers.get("Wavelength"), **found)
        beam = Beam(
            np.array([0.0, 0.0, 1.0]), self.wavelength(numbers.get("Wavelength"), "Wavelength in the description")
        )
        metres = numbers.get("Detector_distance")
        distance = self.distance(metres * 1e3 if metres else None, "Detector_distance in the description")
        pixel = self.pixel_size(words.pixel_size, "Pixel_size in the description")
        slow, fast = page.shape
        centre = words.beam
        if centre is None:
            centre = (0.5 * fast, 0.5 * slow)
            notes.append(no_beam_centre("Beam_xy in the description"))
        start, width = numbers.get("Start_angle", 0.0), numbers.get("Angle_increment", 0.0)
        if not width:
            notes.append(no_rotation("Angle_increment in the description"))
        sign = -1.0 if width < 0 else 1.0
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(sign * start, sign * width),
            exposure_times=np.array([numbers.get("Exposure_time", 0.0)]),
            epochs=np.array([epoch_of(page.date)]),
        )
        kind = page.dtype
        limit = float(np.iinfo(kind).max - 1) if kind.kind in "ui" else float(np.finfo(np.float32).max)
        mu, parallax = sensor_depth(words.material, words.thickness, beam.wavelength, self.options.parallax, beam.probe)
        panel = Panel(
            fast_axis=np.array([1.0, 0.0, 0.0]),
            slow_axis=np.array([0.0, -1.0, 0.0]),
            origin=np.array([-centre[0] * pixel[0], centre[1] * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_PAD" if words.material else "SENSOR_UNKNOWN",
            trusted_range=(0.0, min(numbers.get("Count_cutoff", limit), limit, 2.0**31 - 2)),
            material=words.material,
            thickness=words.thickness,
            mu=mu,
            parallax=parallax,
        )
        return ImageModels(beam, Detector([panel]), Goniometer(np.array([sign, 0.0, 0.0])), scan, tuple(notes))

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels of the first image of a file in memory."""
        with tifffile.TiffFile(io.BytesIO(data.tobytes())) as file:
            page = file.pages.first
            refuse_bombs(page, self.path)
            return [page.asarray()]

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        self._check(index)
        shape = self.page.shape
        with self._open() as file:
            try:
                file.filehandle.seek(self.page.offsets[index])
                page = tifffile.TiffPage(file, index)
                size = file.filehandle.size
                end = max(a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True))
                if end > size:
                    raise self.cut_short(size, end, shape)
                refuse_bombs(page, self.path)
                image = page.asarray(maxworkers=1)
            except FileFormatError:
                raise
            except Exception as error:  # damaged files fail anywhere in the library
                raise FileFormatError(
                    f"{self.path}: the pixels cannot be read ({str(error) or type(error).__name__}); copy the file again"
                ) from error
        return fill([image], out)
