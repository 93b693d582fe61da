"""A .mib file opened for reading."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import FileFormatError, HeaderError
from spindle.models import Beam, Detector, Scan
from spindle_lib_readers.electrons import NO_AXIS, centred_panel, electron_models
from spindle_lib_readers.single import epoch_of, no_beam_centre, no_rotation
from spindle_lib_readers.stack import StackReader, still

from .header import CHIP, MibHeader, read_hdr, read_header
from .raw import BYTES, assembled, unpacked

# Pixels of Medipix3, mm, and how far apart the chips are, in pixels: the software fills the gap with as many.
_PIXEL, _GAP = 0.055, 2
# Electrons of 15 kV have 0.1 angstrom; nobody diffracts X-rays of that.
_LONGEST_OF_ELECTRONS = 0.1


class MibReader(StackReader):
    """An image or a stack; see `StackReader`."""

    format = "mib"

    @cached_property
    def header(self) -> MibHeader:
        """The header of the first image."""
        header = read_header(self.head)
        if header is None:
            raise FileFormatError(f"{self.path}: no header of Merlin; copy the file again")
        if header.is_colour:
            raise HeaderError(self.path, "header, colour mode", "0", "1", "colour images are not read")
        if header.kind != "R64":
            return header
        bits = header.bits or int(self.hdr.get("Counter Depth (number)", "0") or 0)
        if bits not in BYTES:
            remedy = "keep the .hdr file beside the image"
            raise HeaderError(self.path, "header, bits of the counters", "1, 6, 12 or 24", bits or None, remedy)
        if header.chips > 1 and (header.layout != (2, 2) or header.chips != 4 or bits == 24):
            found = f"{header.layout[0]}x{header.layout[1]}, {header.chips} chips, {bits} bits"
            remedy = "raw images of other assemblies are not read: save them as U08, U16 or U32"
            raise HeaderError(self.path, "header, arrangement of raw pixels", "one chip, or 2x2 with 1, 6 or 12 bits", found,
                              remedy)  # fmt: skip
        slow, fast = header.stored
        if bits == 24 and fast == 2 * CHIP:  # counted as two images side by side
            fast = CHIP
        if fast % 64:
            raise HeaderError(self.path, "header, width", "a multiple of 64", fast, "copy the file again")
        return replace(header, bits=bits, stored=(slow, fast))

    @cached_property
    def hdr(self) -> dict[str, str]:
        """Items of the .hdr file."""
        return read_hdr(self.path)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) pixels of the image."""
        slow, fast = self.header.stored
        return (2 * slow, fast // 2) if self.header.kind == "R64" and self.header.chips == 4 else (slow, fast)

    @cached_property
    def _n_bytes(self) -> int:
        header = self.header
        size = np.dtype(header.dtype).itemsize if header.dtype else BYTES[header.bits]
        return int(header.stored[0] * header.stored[1] * size)

    @cached_property
    def n_images(self) -> int:  # type: ignore[override]
        """Whole images of the file."""
        return self.whole_images(self.path, self.content.size, 0, self.header.size + self._n_bytes, self.shape)

    @cached_property
    def _tiles(self) -> list[tuple[slice, slice]]:
        """Rows and columns of each panel: the chips, unless the gaps between them are filled."""
        slow, fast = self.shape
        across, down = self.header.layout
        if self.header.has_filled_gaps or fast != across * CHIP or slow % down or across * down == 1:
            return [(slice(0, slow), slice(0, fast))]
        height = slow // down
        return [
            (slice(j * height, (j + 1) * height), slice(i * CHIP, (i + 1) * CHIP))
            for j in range(down)
            for i in range(across)
        ]

    def _detector(self, pixel: tuple[float, float], distance: float) -> Detector:
        limits = (0.0, float(max(self.header.most - 1, 1)))
        slow, fast = self.shape
        whole = centred_panel((fast, slow), pixel, distance, limits)
        if len(self._tiles) == 1:
            return Detector([replace(whole, mask=self._filled())])
        across, down = self.header.layout
        gaps = np.array([(across - 1) * _GAP, (down - 1) * _GAP])
        first = whole.origin + 0.5 * gaps * pixel @ np.array([-whole.fast_axis, -whole.slow_axis])
        panels = []
        for number, (rows, columns) in enumerate(self._tiles):
            j, i = divmod(number, across)
            f, s = columns.start + i * _GAP, rows.start + j * _GAP
            panels.append(
                replace(
                    whole,
                    name=f"Panel{number}",
                    origin=first + f * pixel[0] * whole.fast_axis + s * pixel[1] * whole.slow_axis,
                    image_size=(columns.stop - columns.start, rows.stop - rows.start),
                    raw_image_offset=(columns.start, rows.start),
                    mask=self._edges(i, j, rows.stop - rows.start),
                )
            )
        return Detector(panels)

    def _edges(self, i: int, j: int, height: int) -> tuple[tuple[int, int, int, int], ...]:
        """Rectangles of the outer pixels of chip (i, j) that look at another chip: they are larger than the others."""
        across, down = self.header.layout
        rectangles = []
        if i > 0:
            rectangles.append((0, 0, 1, height))
        if i < across - 1:
            rectangles.append((CHIP - 1, 0, CHIP, height))
        if j > 0:
            rectangles.append((0, 0, CHIP, 1))
        if j < down - 1:
            rectangles.append((0, height - 1, CHIP, height))
        return tuple(rectangles)

    def _filled(self) -> tuple[tuple[int, int, int, int], ...]:
        """Rectangles of gaps that the software has filled, with the outer pixels of the chips on both sides."""
        slow, fast = self.shape
        across, down = self.header.layout
        rectangles = []
        for count, length, is_fast in ((across, fast, True), (down, slow, False)):
            size = CHIP if is_fast else (slow - (down - 1) * _GAP) // down
            gap = (length - count * size) // max(count - 1, 1) if self.header.has_filled_gaps else 0
            for k in range(1, count if gap > 0 else 1):
                start, stop = k * size + (k - 1) * gap - 1, k * (size + gap) + 1
                rectangles.append((start, 0, stop, slow) if is_fast else (0, start, fast, stop))
        return tuple(rectangles)

    def make_models(self) -> ImageModels:
        """Models of the header, as far as it goes."""
        item = "header of Merlin, which knows nothing of the microscope"
        self.require(item, wavelength=None, distance=None, pixel_size=_PIXEL)
        wavelength, distance = self.wavelength(None, item), self.distance(None, item)
        pixel = self.options.pixel_size or (_PIXEL, _PIXEL)
        notes = [NO_AXIS, no_beam_centre("which Merlin does not know"), no_rotation("which Merlin does not know")]
        promised = self.hdr.get("Frames in Acquisition (Number)", "")
        if promised.isdigit() and 0 < self.n_images < int(promised):
            notes.append(f".hdr file, Frames in Acquisition: {promised}, the .mib file holds {self.n_images}")
        models = electron_models(wavelength, self._detector(pixel, distance), tuple(notes))
        if wavelength < _LONGEST_OF_ELECTRONS:
            return models
        return replace(models, beam=Beam(np.array([0.0, 0.0, 1.0]), wavelength))

    def _place(self, index: int) -> int:
        """First byte of the header of an image."""
        return index * (self.header.size + self._n_bytes)

    def scan(self, index: int) -> Scan:
        """Time and exposure of an image."""
        place = self._place(index)
        header = read_header(self.content[place : place + self.header.size].tobytes())
        if header is None:
            raise HeaderError(
                self.path, f"byte {place}", f"the header of image {index} (MQ1)", None, "copy the file again"
            )
        return still(0.0, header.exposure_time, epoch_of(header.time.split(".")[0].rstrip("Z")))

    def frame(self, index: int) -> list[np.ndarray]:
        """Pixels of an image, a chip after the other."""
        header = self.header
        start = self._place(index) + header.size
        self.reach(start + self._n_bytes, self.shape)
        data = self.content[start : start + self._n_bytes]
        if header.dtype:
            image = data.view(header.dtype).reshape(header.stored)
        else:
            image = unpacked(data, header.bits, header.stored)
            image = assembled(image) if header.chips == 4 else image
        return [image[rows, columns] for rows, columns in self._tiles]
