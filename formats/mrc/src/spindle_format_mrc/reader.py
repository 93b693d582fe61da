"""An MRC file opened for reading."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError
from spindle.models import Scan
from spindle_lib_readers.electrons import (
    NO_AXIS,
    TiltSeries,
    calibrated_distance,
    camera_named,
    centred_panel,
    electron_models,
    electron_wavelength,
    tilt_series,
)
from spindle_lib_readers.single import no_beam_centre
from spindle_lib_readers.stack import StackReader, still

from .header import AXIS_BIT, DAYS_TO_1970, FEI_SIZES, HEADER_SIZE, MrcHeader, byte_order, fei_dtype, read_header
from .mdoc import Mdoc, read_mdoc

# No item of the extended header is larger; some files have junk in it.
_LARGEST = 1e12
_LONGEST, _LAST_DAY = 1e5, 1e5


class MrcReader(StackReader):
    """An image or a stack; see `StackReader`."""

    format = "mrc"

    @cached_property
    def header(self) -> MrcHeader:
        """The main header."""
        head = self.head
        if not byte_order(head):
            raise HeaderError(
                self.path, f"bytes 0 to {HEADER_SIZE}", "an MRC header", f"{len(head)} bytes of another kind",
                "copy the file again",
            )  # fmt: skip
        header = read_header(head)
        if not header.dtype:
            raise HeaderError(
                self.path, "header, mode", "0, 1, 2, 6 or 12 (plain numbers)", header.mode,
                "convert the file to one of them",
            )  # fmt: skip
        return header

    @property
    def n_images(self) -> int:
        """Number of sections."""
        return self.header.shape[0]

    @cached_property
    def records(self) -> np.ndarray | None:
        """Records of the extended header of Thermo Fisher, one for each image (or fewer); None in other files."""
        header = self.header
        least = FEI_SIZES.get(header.extended_type)
        if least is None or header.extended_size < least:
            return None
        self.reach(header.start, header.shape[1:])
        data = self.content[HEADER_SIZE : header.start]
        pitch = int(data[:4].view(header.order + "i4")[0])
        if not least <= pitch <= header.extended_size:
            pitch = least
        count = min(header.extended_size // pitch, header.shape[0])
        return data[: count * pitch].view(fei_dtype(header, pitch))

    def _record(self, index: int) -> np.void | None:
        records = self.records
        return None if records is None else records[min(index, len(records) - 1)]

    def _item(self, name: str) -> float | None:
        """A number of the first image; None where there is none or it is not set."""
        record = self._record(0)
        value = None if record is None else float(record[name])
        return value if value is not None and 0 < value < _LARGEST else None

    @cached_property
    def mdoc(self) -> Mdoc | None:
        """What SerialEM's file says; None without it, or when the extended header is there."""
        return None if self.records is not None else read_mdoc(self.path, self.n_images)

    @cached_property
    def tilt(self) -> TiltSeries:
        """Angles of the images."""
        records, n = self.records, self.n_images
        if records is None:
            return (
                tilt_series(self.mdoc.angles, place=".mdoc file, TiltAngle")
                if self.mdoc
                else TiltSeries(np.zeros(n), 0.0)
            )
        step = 0.0
        if self.header.extended_type == "FEI2":
            first = records[0]
            step = float(first["tilt_per_image"]) if abs(first["tilt_per_image"]) < 180.0 else 0.0
            if step > 0 > first["tilt_end"] - first["tilt_start"]:
                step = -step
        series = tilt_series(records["alpha"], step, "extended header, Alpha tilt")
        if len(records) < n:  # FEI's files have at most 1024 records
            starts = series.starts[0] + series.width * np.arange(n)
            starts[: len(records)] = series.starts
            series = replace(series, starts=starts)
        return series

    def make_models(self) -> ImageModels:
        """Models of the header, as far as it goes."""
        _, slow, fast = self.header.shape
        record, voltage = self._record(0), self.mdoc.voltage if self.mdoc else self._item("voltage")
        name = "" if record is None else record["camera"].decode("latin-1").strip(" \0")
        camera = camera_named(name, self._item("binning") or 1.0, self.header.dtype)
        length = self._item("pixel_x") or self._item("camera_length")
        item = "extended header of FEI1 or FEI2" + ("" if record is not None else ", which is not in the file")
        self.require(item, wavelength=voltage, distance=length, pixel_size=camera.pixel)
        wavelength = self.wavelength(electron_wavelength(voltage) if voltage else None, item)
        pixel = self.pixel_size(
            self.options.pixel_size or ((camera.pixel, camera.pixel) if camera.pixel else None), item
        )
        distance = self.distance(self._distance(pixel[0], wavelength), item)
        panel = centred_panel((fast, slow), pixel, distance, camera.trusted_range, camera.gain)
        notes = (*camera.notes, *self._notes(record), *self.tilt.notes)
        return electron_models(wavelength, panel, notes, self.tilt.sense)

    def _distance(self, pixel: float, wavelength: float) -> float | None:
        """From the calibrated size of a pixel in 1/m, else the nominal camera length; mm."""
        spacing, length = self._item("pixel_x"), self._item("camera_length")
        if spacing is not None and spacing > 1.0:
            return calibrated_distance(pixel, spacing, wavelength)
        return None if length is None else 1000.0 * length

    def _notes(self, record: Any) -> tuple[str, ...]:
        notes = []
        spacing = self._item("pixel_x")
        if spacing is not None and spacing <= 1.0:
            notes.append(
                f"extended header, Pixel size X: {spacing:g} m is that of an image, not of a diffraction pattern; the "
                "distance is the nominal camera length"
            )
        angle = 0.0 if record is None or not abs(record["axis"]) <= 360.0 else float(record["axis"])
        is_set = record is not None and int(record["mask"]) >> AXIS_BIT & 1
        if angle or is_set:
            notes.append(
                f"extended header, Tilt axis angle: {angle:g} deg, from which direction is not documented; down the image "
                "is taken, set geometry.goniometer.axis=<x>,<y>,<z>"
            )
        else:
            notes.append(NO_AXIS)
        notes.append(no_beam_centre("centre of the diffraction pattern"))
        return tuple(notes)

    def scan(self, index: int) -> Scan:
        """Angle and exposure of an image."""
        self.reach(self._place(index + 1), self.header.shape[1:])
        record = self._record(index)
        if record is None:
            exposure = max(float(self.mdoc.exposures[index]), 0.0) if self.mdoc else 0.0
            return still(float(self.tilt.starts[index]), exposure, 0.0, self.tilt.width)
        exposure, days = float(record["exposure"]), float(record["time"])
        return still(
            float(self.tilt.starts[index]),
            exposure if 0.0 < exposure < _LONGEST else 0.0,
            (days - DAYS_TO_1970) * 86400.0 if DAYS_TO_1970 < days < _LAST_DAY else 0.0,
            self.tilt.width,
        )

    def _place(self, index: int) -> int:
        """First byte of an image."""
        header = self.header
        _, slow, fast = header.shape
        return header.start + index * slow * fast * np.dtype(header.dtype).itemsize

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image."""
        return [self.stored(self.content, self._place(index), self.header.dtype, self.header.shape[1:])]
