"""marCCD and mar345 files opened for reading."""

from __future__ import annotations

import math
import re
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError, fault
from spindle.geometry import image_width
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of, no_axis_of_two_theta, no_beam_centre, no_rotation

from .header import PIXELS, FrameHeader, Mar345Header, parse_mar345, parse_marccd

# Bits of a packed pixel in both versions of the packing.
_FIRST_SIZES = (0, 4, 5, 6, 7, 8, 16, 32)
_SECOND_SIZES = (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32)
# The largest value that a mar345 measures; larger ones are saturated.
MAR345_SATURATION = 249862.0
_LAMBDA = re.compile(r"\blambda=([\d.]+)")


def _scan(start: float, width: float, exposure_time: float, epoch: float) -> tuple[Goniometer, Scan]:
    """Rotation about +x; a decreasing angle turns the axis round."""
    sign = -1.0 if width < 0 else 1.0
    scan = Scan(
        image_range=(1, 1), oscillation_deg=(sign * start, sign * width), exposure_times=np.array([exposure_time]),
        epochs=np.array([epoch]),
    )  # fmt: skip
    return Goniometer(rotation_axis=np.array([sign, 0.0, 0.0])), scan


class MarCcdReader(SingleImageReader):
    """One marCCD image; see `SingleImageReader`."""

    format = "mar"

    @cached_property
    def header(self) -> FrameHeader:
        """The frame header."""
        header = parse_marccd(self.head)
        if header is None:
            raise HeaderError(self.path, "byte 1024", "the frame header of a marCCD", None, "copy the file again")
        return header

    def make_models(self) -> ImageModels:
        """Models of the header."""
        h, notes = self.header, []
        beam = Beam(np.array([0.0, 0.0, 1.0]), self.wavelength(h.wavelength or None, "source wavelength at byte 1932"))
        other = _LAMBDA.search(h.comment)
        if other and abs(float(other.group(1)) - beam.wavelength) > 1e-4 * beam.wavelength:
            remedy = "the header's is taken; set geometry.beam.wavelength= if the comment is right"
            expected = f"lambda={beam.wavelength:g}, the wavelength of the header"
            notes.append(fault("header, comment at byte 2464", expected, f"lambda={other.group(1)}", remedy))
        distance = self.distance(h.distance or None, "xtal_to_detector at bytes 1664 and 1720")
        pixel = self.pixel_size(h.pixel_size if min(h.pixel_size) > 0 else None, "pixel size at byte 1796")
        centre = self._beam_centre(pixel, notes)
        turn = math.radians(h.two_theta)
        # Two-theta lifts the detector about +x.
        rotation = np.array(
            [[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]], dtype=np.float64
        )
        saturated = float(h.saturated or 65535)
        goniometer, scan = _scan(h.start, h.width, h.exposure_time, _epoch(h.date))
        if not h.width:
            notes.append(no_rotation("rotation range at byte 1760"))
        panel = Panel(
            fast_axis=rotation @ np.array([1.0, 0.0, 0.0]),
            slow_axis=rotation @ np.array([0.0, -1.0, 0.0]),
            origin=rotation @ np.array([-centre[0], centre[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=h.size,
            type="SENSOR_CCD",
            # Raw zeros are the parts of the image that the detector does not cover.
            trusted_range=(1.0 - self._bias, saturated - 1.0 - self._bias),
        )
        return ImageModels(beam, Detector([panel]), goniometer, scan, tuple(notes))

    @property
    def _bias(self) -> int:
        return int(self.header.bias)

    def _beam_centre(self, pixel: tuple[float, float], notes: list[str]) -> tuple[float, float]:
        """(fast, slow) in mm."""
        h = self.header
        as_pixels = (h.beam[0] * pixel[0], h.beam[1] * pixel[1])
        half = (0.5 * h.size[0] * pixel[0], 0.5 * h.size[1] * pixel[1])
        if not any(h.beam):
            notes.append(no_beam_centre("beam_x and beam_y at byte 1668"))
            return half

        def off(centre: tuple[float, float]) -> float:
            return math.hypot(centre[0] / half[0] - 1.0, centre[1] / half[1] - 1.0)

        if off(h.beam) < 0.2 and off(h.beam) < off(as_pixels):
            found = f"{h.beam[0]:g}, {h.beam[1]:g}, which is near the middle of the detector in mm only"
            remedy = "taken as mm; set geometry.detector.fast_slow_beam_centre= if these are pixels"
            notes.append(fault("header, beam_x and beam_y at byte 1668", "a beam centre in pixels", found, remedy))
            return h.beam
        return as_pixels

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels, the bias taken off."""
        h = self.header
        image = self.stored(data, PIXELS, f"{h.order}u{h.depth}", (h.size[1], h.size[0]))
        return [image.astype(np.int64) - self._bias if self._bias else image]


def _epoch(text: str) -> float:
    """Seconds since 1970 of a marCCD time, MMDDhhmmYYYY.ss."""
    if re.fullmatch(r"\d{12}\.\d\d", text):
        return epoch_of(f"{text[8:12]}-{text[:2]}-{text[2:4]} {text[4:6]}:{text[6:8]}:{text[13:15]}")
    return 0.0


class Mar345Reader(SingleImageReader):
    """One mar345 image; see `SingleImageReader`."""

    format = "mar"

    @cached_property
    def header(self) -> Mar345Header:
        """The lines of the header."""
        return parse_mar345(self.head)

    def make_models(self) -> ImageModels:
        """Models of the header."""
        h, notes = self.header, []
        beam = Beam(np.array([0.0, 0.0, 1.0]), self.wavelength(h.number("WAVELENGTH"), "WAVELENGTH"))
        width, height = h.number("PIXEL", "LENGTH"), h.number("PIXEL", "HEIGHT")
        found = (width * 1e-3, (height or width) * 1e-3) if width else None
        pixel = self.pixel_size(found, "PIXEL LENGTH")
        n = int(h.number("FORMAT") or 0)
        if n <= 0:
            raise HeaderError(self.path, "header, FORMAT", "the size of the image", None, "copy the file again")
        distance = self.distance(h.number("DISTANCE"), "DISTANCE")
        x, y = h.number("CENTER", "X"), h.number("CENTER", "Y")
        if x is None or y is None:
            x = y = 0.5 * n
            notes.append(no_beam_centre("CENTER"))
        axis = "PHI"
        if (h.number("PHI", "START") or 0.0) == (h.number("PHI", "END") or 0.0) and (
            (h.number("OMEGA", "START") or 0.0) != (h.number("OMEGA", "END") or 0.0)
        ):
            axis = "OMEGA"
        start, end = h.number(axis, "START") or 0.0, h.number(axis, "END") or 0.0
        goniometer, scan = _scan(
            start, image_width(start, end), h.number("TIME") or 0.0, epoch_of(h.lines.get("DATE", "")[:24])
        )
        if h.number("TWOTHETA"):
            notes.append(no_axis_of_two_theta("TWOTHETA", h.lines["TWOTHETA"]))
        panel = Panel(
            fast_axis=np.array([1.0, 0.0, 0.0]),
            slow_axis=np.array([0.0, -1.0, 0.0]),
            origin=np.array([-x * pixel[0], y * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(n, n),
            type="SENSOR_IMAGE_PLATE",
            # Zeros are the corners, outside the plate.
            trusted_range=(1.0, MAR345_SATURATION - 1.0),
        )
        return ImageModels(beam, Detector([panel]), goniometer, scan, tuple(notes))

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels; the packed part is decoded by fabio, overflows are put in afterwards."""
        from fabio.ext.mar345_IO import uncompress_pck

        content = data.tobytes()
        order = "<" if int.from_bytes(content[:4], "little") == 1234 else ">"
        n, n_high = (int(v) for v in np.frombuffer(content, f"{order}i4", 2, 4))
        packed = content.find(b"CCP4 packed image", PIXELS)
        if packed < 0 or not 0 < n < 100000:
            remedy = "copy the file again, or pack a spiral image with mar's own program"
            raise HeaderError(self.path, f"after byte {PIXELS}", "the line 'CCP4 packed image'", None, remedy)
        self._check_end(data, content.index(b"\n", packed + 1) + 1, n * n, content[packed : packed + 20])
        # The decoder looks for the line with its preceding line feed, and must not see the overflows before it.
        image = np.ascontiguousarray(
            uncompress_pck(b"\n" + content[packed:], dim1=n, dim2=n, overflowPix=0), dtype=np.uint32
        )
        pairs = np.frombuffer(content, f"{order}i4", 2 * max(n_high, 0), PIXELS).reshape(-1, 2)
        _put_overflows(image.reshape(-1), pairs)
        return [image.reshape(n, n)]

    def _check_end(self, data: np.ndarray, start: int, n_pixels: int, line: bytes) -> None:
        """Raise an error when the packed pixels go on after the end of the file: fabio leaves zeros there."""
        from .kernels import packed_end

        width, sizes = (4, _SECOND_SIZES) if b"V2" in line else (3, _FIRST_SIZES)
        if packed_end(data[start:].view(np.uint8), n_pixels, width, np.array(sizes, dtype=np.int64)) < 0:
            expected = f"the packed bits of {n_pixels} pixels from byte {start}"
            raise HeaderError(
                self.path, "end of the file", expected, f"{data.size} bytes", "the file is cut short: copy it again"
            )


def _put_overflows(flat: np.ndarray, pairs: np.ndarray) -> None:
    """Write values beyond 16 bits to their places, in place.

    Parameters
    ----------
    flat : (n,) uint32
        65535 where a pixel overflowed.
    pairs : (m, 2) int32
        Place and value. Programs counted places from 0 or from 1: the way that meets the marks counts.
    """
    best: tuple[int, np.ndarray] = (-1, pairs[:0, 0])
    for first in (0, 1):
        places = pairs[:, 0].astype(np.int64) - first
        good = places[(places >= 0) & (places < flat.size)]
        hits = int(np.count_nonzero(flat[good] == 65535))
        if len(good) == len(places) and hits > best[0]:
            best = (hits, places)
    flat[best[1]] = pairs[: len(best[1]), 1]
