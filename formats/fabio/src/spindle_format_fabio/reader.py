"""An image read by fabio."""

from __future__ import annotations

import importlib
import io
from functools import cached_property
from typing import Any

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError
from spindle.images import read_all
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, fill

from .kinds import kind_of

# A KappaCCD image that is not binned is wider.
_BINNED_WIDTH = 700


class FabioReader(SingleImageReader):
    """A file with one or several images of one detector; see `SingleImageReader`."""

    format = "fabio"

    def _read(self, data: np.ndarray, index: int = 0) -> Any:
        """fabio's image object of a file in memory, with image `index` in it."""
        kind = kind_of(data[:65536].tobytes())
        if kind is None:
            raise HeaderError(self.path, "byte 0", "a kind of file that is left to fabio", None, "copy the file again")
        cls = getattr(importlib.import_module(f"fabio.{kind.module}"), kind.cls)
        try:
            image = cls().read(io.BytesIO(data.tobytes()), frame=index)
            pixels = image.data
        except Exception as error:  # fabio raises whatever it likes on damaged files
            found = f"what fabio cannot read ({type(error).__name__}: {error})"
            raise HeaderError(self.path, "pixels", f"those of a {kind.name} file", found, "copy it again") from error
        if pixels is None or pixels.ndim != 2 or pixels.size == 0:
            shape = None if pixels is None else pixels.shape
            raise HeaderError(self.path, "pixels", f"a flat image of {kind.name}", f"shape {shape}", "copy it again")
        return image

    @cached_property
    def _facts(self) -> tuple[tuple[int, int], np.dtype[Any], dict[str, str], int]:
        """Shape, type, header and number of images; headers of these kinds cannot be read without the pixels."""
        image = self._read(read_all(self.path))
        return image.data.shape, image.data.dtype, {str(k): str(v) for k, v in image.header.items()}, int(image.nframes)

    @property
    def n_images(self) -> int:
        """Number of images in the file."""
        return self._facts[3]

    def _check(self, index: int) -> None:
        if index != 0 and not 0 <= index < self.n_images:
            raise IndexError(f"{self.path} holds {self.n_images} images; image {index} was asked for")

    def _number(self, name: str) -> float | None:
        try:
            return float(self._facts[2][name])
        except (KeyError, ValueError):
            return None

    def make_models(self) -> ImageModels:
        """Models from parameters, and from a KappaCCD header as far as it goes."""
        (slow, fast), kind = self._facts[:2]
        first, second, ratio = (self._number(k) for k in ("Alpha1", "Alpha2", "Alpha1/Alpha2 ratio"))
        if first and second and ratio:
            first = (ratio * first + second) / (ratio + 1.0)
        self.require(
            "header", wavelength=first, distance=self._number("Dx start"), pixel_size=self._number("pixel X-size (um)")
        )
        beam = Beam(np.array([0.0, 0.0, 1.0]), self.wavelength(first, "which has none"), polarization_fraction=0.5)
        distance = self.distance(self._number("Dx start"), "which has none")
        x, y = self._number("pixel X-size (um)"), self._number("pixel Y-size (um)")
        # A KappaCCD header gives the size of pixels that are not binned, and bins them two by two.
        found = None
        if x and y:
            binning = 2.0 if fast <= _BINNED_WIDTH else 1.0
            found = (x * binning * 1e-3, y * binning * 1e-3)
        pixel = self.pixel_size(found, "which has none")
        notes = (
            "read by fabio: the beam is taken through the middle of the image, fast pixels along +x, slow along -y, no "
            "rotation; set geometry.detector.fast_slow_beam_centre=, geometry.scan.oscillation= and "
            "geometry.goniometer.axis=",
        )
        limit = float(np.iinfo(kind).max) - 1.0 if kind.kind in "ui" else float(np.finfo(np.float32).max)
        readouts = self._number("Number of readouts")
        if readouts:
            limit = 65535.0 * readouts - 1.0
        panel = Panel(
            fast_axis=np.array([1.0, 0.0, 0.0]),
            slow_axis=np.array([0.0, -1.0, 0.0]),
            origin=np.array([-0.5 * fast * pixel[0], 0.5 * slow * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_UNKNOWN",
            trusted_range=(0.0, min(limit, 2.0**31 - 2)),
        )
        scan = Scan(image_range=(1, 1), oscillation_deg=(0.0, 0.0))
        return ImageModels(beam, Detector([panel]), Goniometer(np.array([1.0, 0.0, 0.0])), scan, notes)

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels."""
        return [self._read(data).data]

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        self._check(index)
        return fill([self._read(read_all(self.path), index).data], out)
