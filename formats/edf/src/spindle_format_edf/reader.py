"""An EDF file opened for reading."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError, HeaderError
from spindle.images import is_compressed, read_all
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of, fill, no_beam_centre, no_rotation

from .header import LONGEST, EdfBlock, parse_block
from .packing import PACKINGS, unpacked


class EdfReader(SingleImageReader):
    """A file with one or several images; see `SingleImageReader`."""

    format = "edf"

    def _content(self) -> np.ndarray:
        """(n_bytes,) int8: the file; mapped when it is plain, so that only the parts looked at are read."""
        if is_compressed(self.path):
            return read_all(self.path)
        try:
            return np.memmap(self.path, dtype=np.int8, mode="r")
        except (OSError, ValueError) as error:
            raise FileFormatError(f"{self.path}: {error}") from error

    @cached_property
    def _first(self) -> EdfBlock:
        block = parse_block(self.head)
        if block is None:
            block = parse_block(self._content()[:LONGEST].tobytes())
        if block is None:
            raise HeaderError(self.path, "header", "its end, '}'", None, "copy the file again")
        return block

    @cached_property
    def blocks(self) -> tuple[EdfBlock, ...]:
        """All images, with the places of their pixels in the file; general headers without pixels are left out."""
        data = self._content()
        found, place = [], 0
        while place < data.size:
            block = parse_block(data[place : place + 65536].tobytes())
            if block is None:
                block = parse_block(data[place : place + LONGEST].tobytes())
            if block is None:
                break
            start = place + block.start
            if min(block.shape) > 0:
                found.append(replace(block, start=start))
            place = start + block.n_bytes
        if not found:
            raise HeaderError(
                self.path, "headers, Dim_1 and Dim_2", "the size of an image", None, "copy the file again"
            )
        return tuple(found)

    @property
    def n_images(self) -> int:
        """Number of images in the file."""
        return len(self.blocks)

    def models(self, index: int = 0) -> ImageModels:
        """Models of an image; see `ImageReader.models`."""
        if index == 0:
            return self._models
        models = self._models_of(self._block(index))
        # Images of one file come from one detector: share it.
        same = models.detector[0].image_size == self._models.detector[0].image_size
        return replace(models, detector=self._models.detector) if same else models

    def make_models(self) -> ImageModels:
        """Models of the first image."""
        first = self._first
        return self._models_of(first if min(first.shape) > 0 else self._block(0))

    def _block(self, index: int) -> EdfBlock:
        if not 0 <= index < self.n_images:
            raise IndexError(f"{self.path} holds {self.n_images} images; image {index} was asked for")
        return self.blocks[index]

    def _models_of(self, block: EdfBlock) -> ImageModels:
        notes: list[str] = []
        metres = block.number("wavelength")
        beam = Beam(np.array([0.0, 0.0, 1.0]), self.wavelength(metres * 1e10 if metres else None, "WaveLength in m"))
        size1, size2 = block.number("psize_1"), block.number("psize_2", "psize_1")
        pixel = self.pixel_size((size1 * 1e3, size2 * 1e3) if size1 and size2 else None, "PSize_1 in m")
        metres = block.number("sampledistance")
        distance = self.distance(metres * 1e3 if metres else None, "SampleDistance in m")
        slow, fast = block.shape
        x, y = block.number("center_1"), block.number("center_2")
        if x is None or y is None:
            x, y = 0.5 * fast, 0.5 * slow
            notes.append(no_beam_centre("Center_1 and Center_2"))
        notes.append(no_rotation("of which EDF headers have none"))
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(0.0, 0.0),
            exposure_times=np.array([max(block.number("exposuretime", "count_time") or 0.0, 0.0)]),
            epochs=np.array([epoch_of(block.text("date (scan begin)", "date", "hmstarttime", "time"))]),
        )
        kind = np.dtype(block.dtype or "u2")
        highest = float(np.iinfo(kind).max - 1) if kind.kind in "ui" else float(np.finfo(np.float32).max)
        panel = Panel(
            fast_axis=np.array([1.0, 0.0, 0.0]),
            slow_axis=np.array([0.0, -1.0, 0.0]),
            origin=np.array([-x * pixel[0], y * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_CCD" if "frelon" in block.text("title").lower() else "SENSOR_UNKNOWN",
            trusted_range=(0.0, min(highest, 2.0**31 - 2)),
        )
        return ImageModels(beam, Detector([panel]), Goniometer(np.array([1.0, 0.0, 0.0])), scan, tuple(notes))

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels of the first image."""
        return [self._pixels(data, self.blocks[0])]

    def _pixels(self, data: np.ndarray, block: EdfBlock) -> np.ndarray:
        if not block.dtype:
            kinds = "integers or floating numbers, signed or not"
            remedy = "convert the file with fabio"
            raise HeaderError(self.path, "header, DataType", kinds, block.text("datatype"), remedy)
        if not block.compression:
            return self.stored(data, block.start, block.dtype, block.shape)
        if data.size < block.start + block.n_bytes:
            raise self.cut_short(data.size, block.start + block.n_bytes, block.shape)
        packed = data[block.start : block.start + block.n_bytes].tobytes()
        try:
            pixels = unpacked(packed, block)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            found = f"'{error}' from {block.compression}: they are corrupt"
            where = f"pixels from byte {block.start}"
            raise HeaderError(self.path, where, f"{block.n_pixel_bytes} bytes", found, "copy the file again") from error
        if pixels is None:
            remedy = "convert the file with fabio"
            raise HeaderError(
                self.path, "header, Compression", f"one of {', '.join(PACKINGS)}", block.compression, remedy
            )
        return pixels

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        return fill([self._pixels(self._content(), self._block(index))], out)
