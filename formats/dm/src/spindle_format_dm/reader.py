"""A Digital Micrograph file opened for reading."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError
from spindle.models import Scan
from spindle_lib_readers.electrons import (
    NO_AXIS,
    calibrated_distance,
    camera_named,
    centred_panel,
    electron_models,
    electron_wavelength,
)
from spindle_lib_readers.single import no_beam_centre, no_rotation
from spindle_lib_readers.stack import StackReader, still

from .tags import Stored, TagTree, find

# Units that images of diffraction are calibrated in.
_PER_METRE = {"1/nm": 1e9, "1/A": 1e10, "1/\u00c5": 1e10, "1/m": 1.0}


# Types of pixels that hold red, green and blue in 32 bits.
_COLOURS = (8, 23)


class Image(NamedTuple):
    """The image of a file.

    Attributes
    ----------
    stored : Stored
    shape : (n, slow, fast)
    tags : dict
        Its ImageTags.
    calibrations : dict
        Of its axes and its brightness.
    """

    stored: Stored
    shape: tuple[int, int, int]
    tags: dict[str, Any]
    calibrations: dict[str, Any]

    def number(self, *names: str) -> float:
        """A number of the tags; 0 where there is none."""
        value = find(self.tags, *names)
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0

    def scale(self, *names: str) -> tuple[float, str]:
        """Scale and units of a calibration; (0, "") where there is none."""
        scale, units = find(self.calibrations, *names, "Scale"), find(self.calibrations, *names, "Units")
        if not isinstance(scale, (int, float)) or not isinstance(units, str) or not scale > 0:
            return 0.0, ""
        return float(scale), units


class DmReader(StackReader):
    """A file with an image or a stack of them; see `StackReader`."""

    format = "dm"

    @cached_property
    def image(self) -> Image:
        """The largest image of the file that is neither a thumbnail nor a colour picture."""
        try:
            tree = TagTree(self.content).root
        except (ValueError, UnicodeDecodeError, OverflowError) as error:
            raise FileFormatError(f"{self.path}: {error}") from error
        best: Image | None = None
        images, thumbnails = tree.get("ImageList"), tree.get("Thumbnails")
        small = {find(t, "ImageIndex") for t in thumbnails.values()} if isinstance(thumbnails, dict) else set()
        for number, entry in enumerate(images.values() if isinstance(images, dict) else ()):
            if number in small or find(entry, "ImageData", "DataType") in _COLOURS:
                continue
            stored, sizes = find(entry, "ImageData", "Data"), find(entry, "ImageData", "Dimensions")
            if not isinstance(stored, Stored) or not stored.dtype or not isinstance(sizes, dict):
                continue
            fast, slow, count = ([int(v) for v in sizes.values()] + [1, 1])[:3]
            is_whole = fast > 1 and slow > 1 and count > 0 and fast * slow * count == stored.count
            if is_whole and (best is None or stored.count > best.stored.count):
                tags, calibrations = find(entry, "ImageTags"), find(entry, "ImageData", "Calibrations")
                best = Image(stored, (count, slow, fast), tags or {}, calibrations or {})
        if best is None:
            raise FileFormatError(
                f"{self.path}: no image of plain numbers in ImageList; complex and colour ones are not read"
            )
        return best

    @property
    def n_images(self) -> int:
        """Number of images of the stack."""
        return self.image.shape[0]

    def make_models(self) -> ImageModels:
        """Models of the tags, as far as they go."""
        image = self.image
        _, slow, fast = image.shape
        voltage = image.number("Microscope Info", "Voltage")
        metres = find(image.tags, "Acquisition", "Device", "CCD", "Pixel Size (um)")
        size = None
        if isinstance(metres, list) and len(metres) == 2 and min(metres) > 0:
            factor = 1e-3 * max(image.number("Acquisition", "Parameters", "Detector", "hbin"), 1.0)
            size = (metres[0] * factor, metres[1] * factor)
        scale, units = image.scale("Dimension", "0")
        per_metre = scale * _PER_METRE.get(units, 0.0)
        item = (
            "tags Microscope Info.Voltage, Calibrations.Dimension.0 (1/nm) and Acquisition.Device.CCD.Pixel Size (um)"
        )
        self.require(item, wavelength=voltage > 0, distance=per_metre, pixel_size=size)
        wavelength = self.wavelength(electron_wavelength(voltage) if voltage > 0 else None, item)
        pixel = self.pixel_size(self.options.pixel_size or size, item)
        distance = self.distance(calibrated_distance(pixel[0], per_metre, wavelength) if per_metre else None, item)
        camera = camera_named("", 1.0, image.stored.dtype)
        electrons, units = image.scale("Brightness")
        gain = 1.0 / electrons if units.startswith("e") else camera.gain
        panel = centred_panel((fast, slow), pixel, distance, camera.trusted_range, gain)
        notes = (NO_AXIS, no_beam_centre("ImageTags"), no_rotation("ImageTags"))
        return electron_models(wavelength, panel, notes)

    def scan(self, index: int) -> Scan:
        """A still at the angle of the stage."""
        angle = self.image.number("Microscope Info", "Stage Position", "Stage Alpha")
        return still(angle, max(self.image.number("DataBar", "Exposure Time (s)"), 0.0))

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image."""
        stored, (_, slow, fast) = self.image.stored, self.image.shape
        size = np.dtype(stored.dtype).itemsize * slow * fast
        return [self.stored(self.content, stored.start + index * size, stored.dtype, (slow, fast))]
