"""A Digital Micrograph file opened for reading."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError
from spindle.images.compressed import is_compressed, read_all
from spindle.images.single import SingleImageReader, fill
from spindle.models import Beam, Detector, Goniometer, Panel, Scan

from .tags import Stored, TagTree, find

# Planck constant, electron mass and charge, speed of light; CODATA 2018, SI.
_H, _M, _E, _C = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0


def electron_wavelength(voltage: float) -> float:
    """Wavelength in angstrom of electrons accelerated by a voltage in V, relativistic."""
    energy = _E * voltage
    return 1e10 * _H / math.sqrt(2.0 * _M * energy * (1.0 + energy / (2.0 * _M * _C**2)))


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


class DmReader(SingleImageReader):
    """A file with an image or a stack of them; see `SingleImageReader`."""

    format = "dm"

    def _content(self) -> np.ndarray:
        """(n_bytes,) int8: the file; mapped when it is plain, so that only the parts looked at are read."""
        if is_compressed(self.path):
            return read_all(self.path)
        try:
            return np.memmap(self.path, dtype=np.int8, mode="r")
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{self.path}: {error}") from error

    @cached_property
    def image(self) -> Image:
        """The largest image of the file; others are thumbnails."""
        try:
            tree = TagTree(self._content()).root
        except (ValueError, UnicodeDecodeError, OverflowError) as error:
            raise FileFormatError(f"{self.path}: the tags cannot be read: {error}; copy the file again") from error
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

    def _check(self, index: int) -> None:
        if index != 0 and not 0 <= index < self.n_images:
            raise IndexError(f"{self.path} holds {self.n_images} images; image {index} was asked for")

    def make_models(self) -> ImageModels:
        """Models of the tags, as far as they go."""
        _, slow, fast = self.image.shape
        tags = self.image.tags
        voltage = find(tags, "Microscope Info", "Voltage")
        found = electron_wavelength(float(voltage)) if isinstance(voltage, (int, float)) and voltage > 0 else None
        wavelength = self.wavelength(found, "Microscope Info.Voltage")
        beam = Beam((0.0, 0.0, 1.0), wavelength, polarization_fraction=0.5, probe="electron")
        metres = find(tags, "Acquisition", "Device", "CCD", "Pixel Size (um)")
        binning = find(tags, "Acquisition", "Parameters", "Detector", "hbin")
        size = None
        if isinstance(metres, list) and len(metres) == 2 and min(metres) > 0:
            factor = float(binning) if isinstance(binning, (int, float)) and binning >= 1 else 1.0
            size = (metres[0] * 1e-3 * factor, metres[1] * 1e-3 * factor)
        pixel = self.pixel_size(size, "Acquisition.Device.CCD.Pixel Size (um)")
        distance = self.distance(None, "the tags have no calibrated camera length")
        exposure = find(tags, "DataBar", "Exposure Time (s)")
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(0.0, 0.0),
            exposure_times=np.array([float(exposure) if isinstance(exposure, (int, float)) else 0.0]),
        )
        kind = np.dtype(self.image.stored.dtype)
        limit = float(np.iinfo(kind).max) - 1.0 if kind.kind in "ui" else float(np.finfo(np.float32).max)
        panel = Panel(
            fast_axis=(1.0, 0.0, 0.0),
            slow_axis=(0.0, -1.0, 0.0),
            origin=(-0.5 * fast * pixel[0], 0.5 * slow * pixel[1], -distance),
            pixel_size=pixel,
            image_size=(fast, slow),
            type="SENSOR_PAD",
            trusted_range=(0.0, limit),
        )
        notes = (
            "the beam is taken through the middle of the image and the crystal as still; set "
            "geometry.detector.fast_slow_beam_centre=, geometry.scan.oscillation= and geometry.goniometer.axis=",
        )
        return ImageModels(beam, Detector([panel]), Goniometer((1.0, 0.0, 0.0)), scan, notes)

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels of the first image."""
        return [self._pixels(data, 0)]

    def _pixels(self, data: np.ndarray, index: int) -> np.ndarray:
        image = self.image
        _, slow, fast = image.shape
        size = np.dtype(image.stored.dtype).itemsize * slow * fast
        return self.stored(data, image.stored.start + index * size, image.stored.dtype, (slow, fast))

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        self._check(index)
        # The tags are read first: a compressed file lies in a buffer that the next reading overwrites.
        _ = self.image
        return fill([self._pixels(self._content(), index)], out)
