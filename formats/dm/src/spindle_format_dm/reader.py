"""A Digital Micrograph file opened for reading."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError
from spindle.images.electrons import (
    NO_AXIS,
    camera_limits,
    centred_panel,
    electron_models,
    electron_wavelength,
    tilt_axis,
)
from spindle.images.single import no_beam_centre, no_rotation
from spindle.images.stack import StackReader, still
from spindle.models import Scan

from .tags import Stored, TagTree, find


class Image(NamedTuple):
    """The image of a file.

    Attributes
    ----------
    stored : Stored
    shape : (n, slow, fast)
    tags : dict
        Its ImageTags.
    """

    stored: Stored
    shape: tuple[int, int, int]
    tags: dict[str, Any]


class DmReader(StackReader):
    """A file with an image or a stack of them; see `StackReader`."""

    format = "dm"

    @cached_property
    def image(self) -> Image:
        """The largest image of the file; others are thumbnails."""
        try:
            tree = TagTree(self.content).root
        except (ValueError, UnicodeDecodeError, OverflowError) as error:
            raise FileFormatError(f"{self.path}: {error}") from error
        best: Image | None = None
        images = tree.get("ImageList")
        for entry in images.values() if isinstance(images, dict) else ():
            stored, sizes = find(entry, "ImageData", "Data"), find(entry, "ImageData", "Dimensions")
            if not isinstance(stored, Stored) or not stored.dtype or not isinstance(sizes, dict):
                continue
            fast, slow, count = ([int(v) for v in sizes.values()] + [1, 1])[:3]
            is_whole = fast > 1 and slow > 1 and count > 0 and fast * slow * count == stored.count
            if is_whole and (best is None or stored.count > best.stored.count):
                best = Image(stored, (count, slow, fast), find(entry, "ImageTags") or {})
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
        _, slow, fast = self.image.shape
        tags = self.image.tags
        voltage = find(tags, "Microscope Info", "Voltage")
        found = electron_wavelength(float(voltage)) if isinstance(voltage, (int, float)) and voltage > 0 else None
        wavelength = self.wavelength(found, "Microscope Info.Voltage")
        metres = find(tags, "Acquisition", "Device", "CCD", "Pixel Size (um)")
        binning = find(tags, "Acquisition", "Parameters", "Detector", "hbin")
        size = None
        if isinstance(metres, list) and len(metres) == 2 and min(metres) > 0:
            factor = float(binning) if isinstance(binning, (int, float)) and binning >= 1 else 1.0
            size = (metres[0] * 1e-3 * factor, metres[1] * 1e-3 * factor)
        pixel = self.pixel_size(size, "Acquisition.Device.CCD.Pixel Size (um)")
        distance = self.distance(None, "the tags have no calibrated camera length")
        kind = np.dtype(self.image.stored.dtype)
        limits, gain, notes = camera_limits("", 1.0, kind)
        notes += (NO_AXIS, no_beam_centre("ImageTags"), no_rotation("ImageTags"))
        panel = centred_panel((fast, slow), pixel, distance, limits, gain)
        return electron_models(wavelength, panel, tilt_axis(), notes)

    def scan(self, index: int) -> Scan:
        """A still."""
        exposure = find(self.image.tags, "DataBar", "Exposure Time (s)")
        return still(exposure_time=float(exposure) if isinstance(exposure, (int, float)) else 0.0)

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image."""
        stored, (_, slow, fast) = self.image.stored, self.image.shape
        size = np.dtype(stored.dtype).itemsize * slow * fast
        return [self.stored(self.content, stored.start + index * size, stored.dtype, (slow, fast))]
