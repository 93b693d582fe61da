"""A series of TIA opened for reading."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError, HeaderError
from spindle.files import read_regular
from spindle.models import Scan
from spindle_lib_readers.electrons import (
    NO_AXIS,
    calibrated_distance,
    camera_named,
    centred_panel,
    electron_models,
    electron_wavelength,
)
from spindle_lib_readers.single import epoch_of, no_beam_centre, no_rotation
from spindle_lib_readers.stack import StackReader, still

from .series import ELEMENT, TYPES, SerHeader, conditions, emi_of, read_header, refusal

_LARGEST = 1 << 20


class Element(NamedTuple):
    """An image of the series: first byte and type of its pixels, (slow, fast), and their size as calibrated."""

    start: int
    dtype: str
    shape: tuple[int, int]
    delta: float


class SerReader(StackReader):
    """An image or a series of them; see `StackReader`."""

    format = "ser"

    @cached_property
    def header(self) -> SerHeader:
        """The header."""
        why = refusal(self.head)
        if why:
            raise FileFormatError(f"{self.path}: {why}; copy the file again")
        header = read_header(self.head)
        if header.n_elements == 0:
            raise HeaderError(self.path, "header, ValidNumberElements", "1 or more", 0, "no image was written")
        return header

    @property
    def n_images(self) -> int:
        """Number of images that were written."""
        return self.header.n_elements

    @cached_property
    def places(self) -> np.ndarray:
        """(n,) first bytes of the elements."""
        header = self.header
        end = header.offsets + header.n_elements * np.dtype(header.word).itemsize
        if self.content.size < end:
            raise HeaderError(
                self.path, "end of the file", f"{end} bytes to hold the places of {header.n_elements} images",
                f"{self.content.size} bytes", "the file is cut short: copy it again",
            )  # fmt: skip
        return self.content[header.offsets : end].view(header.word)

    def element(self, index: int) -> Element:
        """Where an image is.

        Raises
        ------
        HeaderError
            If the file ends before it does, or its type or size make no sense.
        """
        at = int(self.places[index])
        data = self.content
        place = f"image {index}, byte {at}"
        if at + ELEMENT.size > data.size:
            needed = f"{at + ELEMENT.size} bytes to hold image {index}"
            remedy = "the file is cut short: copy it again"
            raise HeaderError(self.path, "end of the file", needed, f"{data.size} bytes", remedy)
        _, delta, _, _, _, _, kind, fast, slow = ELEMENT.unpack(data[at : at + ELEMENT.size].tobytes())
        if kind not in TYPES:
            raise HeaderError(self.path, place, "pixels of type 1 to 8 (plain numbers)", kind, "export it as a number")
        if not (0 < fast < _LARGEST and 0 < slow < _LARGEST):
            raise HeaderError(self.path, place, "width and height", f"{fast} x {slow}", "copy the file again")
        return Element(at + ELEMENT.size, TYPES[kind], (slow, fast), delta)

    @cached_property
    def conditions(self) -> dict[str, str]:
        """Items of the .emi file; empty without one."""
        found = emi_of(self.path)
        if found is None:
            return {}
        return conditions(read_regular(found[0], 1 << 28, "an .emi file", "leave it out"), found[1])

    def _number(self, *names: str) -> float | None:
        for name in names:
            try:
                value = float(self.conditions.get(name, ""))
            except ValueError:
                continue
            if np.isfinite(value):
                return value
        return None

    def make_models(self) -> ImageModels:
        """Models of both files, as far as they go."""
        element = self.element(0)
        slow, fast = element.shape
        item = ".emi file" + ("" if self.conditions else ", which is not beside it")
        voltage, length = self._number("AcceleratingVoltage") or 0.0, self._number("Camera length [m]") or 0.0
        camera = camera_named(self.conditions.get("CameraNamePath", ""), self._number("Binning") or 1.0, element.dtype)
        # In diffraction the calibration is in 1/m and large, of an image in m and tiny.
        is_calibrated = element.delta > 1.0
        self.require(item, wavelength=voltage > 0, distance=is_calibrated or length > 0, pixel_size=camera.pixel)
        wavelength = self.wavelength(electron_wavelength(voltage) if voltage > 0 else None, item)
        pixel = self.pixel_size(
            self.options.pixel_size or ((camera.pixel, camera.pixel) if camera.pixel else None), item
        )
        if is_calibrated:
            distance = calibrated_distance(pixel[0], element.delta, wavelength)
        else:
            distance = self.distance(1000.0 * length, item)
        panel = centred_panel((fast, slow), pixel, distance, camera.trusted_range, camera.gain)
        item = "centre of the diffraction pattern"
        notes = (*camera.notes, NO_AXIS, no_beam_centre(item), no_rotation("rotation per image"))
        return electron_models(wavelength, panel, notes)

    def scan(self, index: int) -> Scan:
        """A still at the angle of the stage when the series was begun."""
        element = self.element(index)
        first = self.element(0)
        if element.shape != first.shape:
            raise HeaderError(
                self.path, f"image {index}", f"{first.shape[1]} x {first.shape[0]} pixels, as image 0 has",
                f"{element.shape[1]} x {element.shape[0]}", "split the series",
            )  # fmt: skip
        self.reach(
            element.start + element.shape[0] * element.shape[1] * np.dtype(element.dtype).itemsize, element.shape
        )
        angle = self._number("Stage A [deg]") or 0.0
        return still(
            angle, max(self._number("DwellTimePath") or 0.0, 0.0), epoch_of(self.conditions.get("AcquireDate", ""))
        )

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image."""
        element = self.element(index)
        return [self.stored(self.content, element.start, element.dtype, element.shape)]
