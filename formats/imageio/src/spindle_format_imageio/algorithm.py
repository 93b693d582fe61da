"""Pictures (PNG, PGM, BMP) as data, with geometry from parameters."""

from __future__ import annotations

import io
import re
from functools import cached_property
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.format import FormatOptions, ImageModels, ImageReader
from spindle.errors import HeaderError
from spindle.images import read_all
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader

_PNG = b"\x89PNG\r\n\x1a\n"
_PGM = re.compile(rb"P[25]\s(?:#[^\n]*\n|\s)*\d+\s")


def extension_of(head: bytes) -> str:
    """Extension by which imageio knows the kind of a file; "" for other files."""
    if head.startswith(_PNG):
        return ".png"
    if _PGM.match(head):
        return ".pgm"
    if head.startswith(b"BM") and len(head) > 30 and head[14:18] in (b"\x28\0\0\0", b"\x6c\0\0\0", b"\x7c\0\0\0"):
        return ".bmp"
    return ""


class ImageioReader(SingleImageReader):
    """One picture; see `SingleImageReader`."""

    format = "imageio"

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels of a grey picture."""
        import imageio.v3 as iio

        try:
            pixels = iio.imread(io.BytesIO(data.tobytes()), extension=extension_of(data[:1024].tobytes()))
        except Exception as error:  # the libraries behind imageio raise whatever they like on damaged files
            raise HeaderError(self.path, "pixels", "a whole picture", error, "copy the file again") from error
        if pixels.ndim != 2 or pixels.dtype.kind not in "uif":
            found = f"{' x '.join(map(str, pixels.shape))} of {pixels.dtype}"
            remedy = "write it again as a grey one: colours are not data"
            raise HeaderError(self.path, "pixels", "a grey picture, slow x fast", found, remedy)
        return [pixels]

    @cached_property
    def _facts(self) -> tuple[tuple[int, int], np.dtype]:
        pixels = self.decode(read_all(self.path))[0]
        return (pixels.shape[0], pixels.shape[1]), pixels.dtype

    def make_models(self) -> ImageModels:
        """Models from parameters."""
        (slow, fast), kind = self._facts
        self.require("a picture, which has no geometry")
        beam = Beam(np.array([0.0, 0.0, 1.0]), self.wavelength(None, "a picture"), polarization_fraction=0.5)
        distance = self.distance(None, "a picture")
        pixel = self.pixel_size(None, "a picture")
        highest = float(np.iinfo(kind).max) - 1.0 if kind.kind in "ui" else float(np.finfo(np.float32).max)
        panel = Panel(
            fast_axis=np.array([1.0, 0.0, 0.0]),
            slow_axis=np.array([0.0, -1.0, 0.0]),
            origin=np.array([-0.5 * fast * pixel[0], 0.5 * slow * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_UNKNOWN",
            trusted_range=(0.0, min(highest, 2.0**31 - 2)),
        )
        note = (
            "a picture: the beam is taken through its middle, fast pixels along +x, slow along -y, no rotation; set "
            "geometry.detector.fast_slow_beam_centre=, geometry.scan.oscillation= and geometry.goniometer.axis="
        )
        scan = Scan(image_range=(1, 1), oscillation_deg=(0.0, 0.0))
        return ImageModels(beam, Detector([panel]), Goniometer(np.array([1.0, 0.0, 0.0])), scan, (note,))


class ImageioFormat(Algorithm):
    """Grey pictures that keep their values: PNG, PGM, BMP."""

    endings = ("png", "jpg", "jpeg", "bmp", "pgm")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """A PNG, PGM or BMP file."""
        return bool(extension_of(head))

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """Why a file is not read; "" when it is."""
        if head.startswith(b"\xff\xd8\xff"):
            return "JPEG pictures have lost their values"
        return "" if extension_of(head) else "neither PNG nor PGM nor BMP"

    @hookimpl
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open an image; see `spindle.contracts.format.FormatSpec`."""
        return ImageioReader(path, head, options)
