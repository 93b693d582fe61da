"""A TVIPS series opened for reading."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError, HeaderError
from spindle.images import map_file
from spindle.models import Scan
from spindle_lib_readers.electrons import (
    NO_AXIS,
    TiltSeries,
    camera_named,
    centred_panel,
    electron_models,
    electron_wavelength,
    tilt_series,
)
from spindle_lib_readers.single import no_beam_centre
from spindle_lib_readers.stack import StackReader, still

from .series import DIFFRACTION, HEADER_SIZE, TvipsHeader, part_number, part_path, parts_of, read_header

# Pixels of a camera lie between these, nm; some programs write 1 or the size in the specimen.
_PIXEL_RANGE = (1000, 200000)


class Part(NamedTuple):
    """A file of the series: the images in it and the number of the first."""

    images: np.ndarray
    first: int


class TvipsReader(StackReader):
    """The images of all files of a series; see `StackReader`."""

    format = "tvips"

    @cached_property
    def header(self) -> TvipsHeader:
        """The header of the first file."""
        header = read_header(self.head)
        if header is None:
            raise FileFormatError(f"{self.path}: no header of a TVIPS series; copy the file again")
        return header

    @cached_property
    def parts(self) -> list[Part]:
        """The files, mapped."""
        header = self.header
        files = parts_of(self.path)
        if part_number(self.path) == 0:
            missing = part_path(self.path, len(files))
            later = [n for n in range(len(files) + 1, 1000) if part_path(self.path, n).is_file()]
            if later:
                raise HeaderError(
                    missing, "the series", f"this file, because {part_path(self.path, later[0]).name} is there", "no file",
                    "copy it too",
                )  # fmt: skip
        found, first = [], 0
        for number, file in enumerate(files):
            data = self.content if number == 0 else map_file(file)
            start = HEADER_SIZE if number == 0 else 0
            count = self.whole_images(file, data.size, start, header.pitch, header.shape)
            found.append(Part(data[start : start + count * header.pitch].view(header.record()), first))
            first += count
        return found

    @property
    def n_images(self) -> int:
        """Images of all files."""
        last = self.parts[-1]
        return last.first + len(last.images)

    def _part(self, index: int) -> tuple[int, int]:
        """Number of the file that holds an image, and the image's place in it."""
        number = int(np.searchsorted([p.first for p in self.parts], index, side="right")) - 1
        return number, index - self.parts[number].first

    @cached_property
    def tilt(self) -> TiltSeries:
        """Angles of the images."""
        if not self.header.has_angle:
            return TiltSeries(np.zeros(self.n_images), 0.0)
        angles = np.concatenate([p.images["alpha"] for p in self.parts])
        return tilt_series(angles, place="headers of the images, stage alpha")

    def make_models(self) -> ImageModels:
        """Models of the headers, as far as they go."""
        header, first = self.header, self.parts[0].images
        size = None
        if _PIXEL_RANGE[0] <= header.pixel_nm <= _PIXEL_RANGE[1]:
            size = (header.pixel_nm * 1e-6 * header.binning[0], header.pixel_nm * 1e-6 * header.binning[1])
        item = f"header: {header.kilovolt} kV, pixel size of {header.pixel_nm} nm"
        notes: tuple[str, ...] = ()
        if header.has_angle:
            item += f", camera length of {int(first['length'][0])} in units that are not documented"
            mode = int(first["mode"][0])
            if mode and mode != DIFFRACTION:
                notes += (f"header of the first image: taken in mode {mode}, {DIFFRACTION} is diffraction",)
        self.require(item, wavelength=header.kilovolt, distance=None, pixel_size=size)
        wavelength = self.wavelength(electron_wavelength(1000.0 * header.kilovolt) if header.kilovolt else None, item)
        pixel = self.pixel_size(self.options.pixel_size or size, item)
        distance = self.distance(None, item)
        if max(header.binning) > 1 and not self.options.pixel_size:
            notes += (
                f"the camera's pixel of {header.pixel_nm} nm is taken as that without the binning of {header.binning[0]}: "
                f"{pixel[0]:g} mm; set geometry.detector.panel.pixel_size= otherwise",
            )
        camera = camera_named("", 1.0, header.dtype)
        panel = centred_panel((header.shape[1], header.shape[0]), pixel, distance, camera.trusted_range, camera.gain)
        notes += (NO_AXIS, no_beam_centre("centre of the diffraction pattern"), *self.tilt.notes)
        return electron_models(wavelength, panel, notes, self.tilt.sense)

    def scan(self, index: int) -> Scan:
        """Angle and time of an image."""
        number, place = self._part(index)
        record = self.parts[number].images[place]
        epoch = float(record["time"]) + 1e-3 * float(record["ms"])
        return still(float(self.tilt.starts[index]), 0.0, epoch, self.tilt.width)

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image."""
        header = self.header
        number, place = self._part(index)
        pixels = self.parts[number].images.view(np.int8).reshape(-1, header.pitch)[place, header.image_header :]
        return [pixels.view(header.dtype).reshape(header.shape)]
