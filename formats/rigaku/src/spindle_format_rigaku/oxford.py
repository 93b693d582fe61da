"""Oxford Diffraction (CrysAlis) images: .img of Sapphire CCDs, .rodhypix; text of 256 bytes, then binary sections."""

from __future__ import annotations

import io
import math
import re
import struct
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError
from spindle.geometry import image_width, rotation_matrix
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of

_SIZES = re.compile(rb"NX=\s*(\d{1,5})\s+NY=\s*(\d{1,5})")
_SECTIONS = re.compile(
    rb"NHEADER=\s*(\d{1,6})\s+NG=\s*(\d{1,5})\s+NS=\s*(\d{1,5})\s+NK=\s*(\d{1,5})\s+NS=\s*(\d{1,5})\s+NH=\s*(\d{1,5})"
)
_READ = (b"NO", b"TY1", b"TY5", b"TY6")
#: From the sample, the first pixel is at the lower left, fast pixels go to the right and slow ones up where theta is 0; omega, theta and
#: phi turn about the axis that points down, kappa about one that is inclined to it towards the source.
_DOWN = np.array([0.0, -1.0, 0.0])
_NAMES = ("PHI", "KAPPA", "OMEGA")
_PIXEL_LIMIT = 2.0**31 - 2


def is_oxford(head: bytes) -> bool:
    """Whether a file begins like a CrysAlis image."""
    return head.startswith(b"OD SAPPHIRE") and bool(_SIZES.search(head[:256]) and _SECTIONS.search(head[:256]))


class OxfordReader(SingleImageReader):
    """One CrysAlis image; see `SingleImageReader`."""

    format = "rigaku"

    @cached_property
    def _places(self) -> tuple[int, int, int, int]:
        """First bytes of the general, special and goniometer sections and of the pixels."""
        match = _SECTIONS.search(self.head[:256])
        if match is None:
            expected = "the sizes of the sections, NHEADER= NG= NS= NK= NS= NH="
            raise HeaderError(self.path, "header", expected, None, "copy the file again")
        total, general, special, kuma, statistics, history = (int(v) for v in match.groups())
        first = max(total - general - special - kuma - statistics - history, 256)
        if len(self.head) < first + general + special + kuma or kuma < 720 or special < 584:
            needed = f"sections of {general}, {special} and {kuma} bytes from byte {first}"
            raise HeaderError(self.path, "header", needed, f"{len(self.head)} bytes", "copy the file again")
        return first, first + general, first + general + special, total

    @property
    def size(self) -> tuple[int, int]:
        """(fast, slow) pixels."""
        match = _SIZES.search(self.head[:256])
        if match is None or not int(match.group(1)) or not int(match.group(2)):
            raise HeaderError(self.path, "header, NX= and NY=", "the size of the image", None, "copy the file again")
        return int(match.group(1)), int(match.group(2))

    def _real(self, section: int, place: int) -> float:
        value = float(struct.unpack_from("<d", self.head, self._places[section] + place)[0])
        return value if math.isfinite(value) else 0.0

    def _angles(self, place: int) -> list[float]:
        """Omega, theta, kappa and phi in degrees; stored as steps of motors."""
        kuma = self._places[2]
        steps = struct.unpack_from("<4i", self.head, kuma + place)
        scale = struct.unpack_from("<4d", self.head, kuma + 368)
        return [math.degrees(n * s) for n, s in zip(steps, scale, strict=True)]

    def make_models(self) -> ImageModels:
        """Models of the header."""
        notes: list[str] = []
        beam = Beam(
            np.array([0.0, 0.0, 1.0]), self.wavelength(self._real(2, 584), "wavelength of the goniometer section"),
            polarization_fraction=0.5,
        )  # fmt: skip
        fast, slow = self.size
        pixel = self.pixel_size((self._real(1, 568), self._real(1, 576)), "pixel size of the special section")
        distance = self.distance(self._real(2, 712), "distance of the goniometer section")
        binning = [max(v, 1) for v in struct.unpack_from("<2H", self.head, self._places[0])]
        centre = (self._real(2, 664) / binning[0], self._real(2, 672) / binning[1])
        start, end = self._angles(284), self._angles(324)
        about_beam, about_fast = (math.radians(self._real(2, place)) for place in (640, 648))
        rotation = (
            rotation_matrix(_DOWN, math.radians(start[1]))
            @ rotation_matrix(np.array([-1.0, 0.0, 0.0]), about_fast)
            @ rotation_matrix(np.array([0.0, 0.0, 1.0]), about_beam)
        )
        panel = Panel(
            fast_axis=rotation[:, 0],
            slow_axis=rotation[:, 1],
            origin=rotation @ np.array([-centre[0] * pixel[0], -centre[1] * pixel[1], -distance]),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_CCD" if self.head.startswith(b"OD SAPPHIRE  3") else "SENSOR_PAD",
            # Dark current has been taken off: noise goes below 0.
            trusted_range=(-1000.0, self._overflow()),
            gain=max(self._real(1, 56), 0.0) or 1.0,
        )
        goniometer, scan = self._rotation(start, end, notes)
        return ImageModels(beam, Detector([panel]), goniometer, scan, tuple(notes))

    def _overflow(self) -> float:
        """Largest value that is trusted."""
        threshold = struct.unpack_from("<i", self.head, self._places[1] + 472)[0]
        return float(threshold) if threshold > 0 else _PIXEL_LIMIT

    def _rotation(self, start: list[float], end: list[float], notes: list[str]) -> tuple[Goniometer, Scan]:
        turned = 3 if abs(end[0] - start[0]) < 1e-6 < abs(end[3] - start[3]) else 0  # phi or omega
        width, begin = image_width(start[turned], end[turned]), start[turned]
        if abs(width) < 1e-6:
            width = 0.0
            notes.append("neither omega nor phi was turned: taken as a still")
        sign = -1.0 if width < 0 else 1.0
        alpha = math.radians(self._real(2, 680))
        axes = np.array([_DOWN, [0.0, -math.cos(alpha), math.sin(alpha)], _DOWN])
        scan_axis = 0 if turned == 3 else 2
        axes[scan_axis] *= sign
        text = re.search(rb"TIME=([^\r\n]{24})", self.head[:256])
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(sign * begin, sign * width),
            exposure_times=np.array([max(self._real(1, 480), 0.0)]),
            epochs=np.array([epoch_of(text.group(1).decode("latin-1")) if text else 0.0]),
        )
        return Goniometer.multi_axis(axes, [start[3], start[2], start[0]], _NAMES, scan_axis), scan

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels; compression TY6 is decoded here, the others by fabio."""
        match = re.search(rb"COMPRESSION=\s*(\w+)", self.head[:256])
        packing = match.group(1) if match else b"?"
        if packing not in _READ:
            names = ", ".join(name.decode() for name in _READ)
            remedy = "write the images with another compression in CrysAlis"
            raise HeaderError(self.path, "header, COMPRESSION=", f"one of {names}", packing.decode("latin-1"), remedy)
        if packing == b"TY6":
            return [self._bit_fields(data)]
        from fabio.OXDimage import OXDimage

        fast, slow = self.size
        needed = self._places[3] + (4 if packing == b"NO" else 1) * fast * slow
        if data.size < needed:
            raise self.cut_short(data.size, needed, (slow, fast))
        return [OXDimage().read(io.BytesIO(data.tobytes())).data]

    def _bit_fields(self, data: np.ndarray) -> np.ndarray:
        """Pixels of compression TY6: number of bytes, these bytes, and mostly a table of the first byte of each row."""
        from .kernels import decode_bit_fields

        fast, slow = self.size
        at = self._places[3] + 4
        n = int(data[at - 4 : at].view("<u4")[0]) if data.size >= at else 0
        if data.size < at + max(n, 1):
            raise self.cut_short(data.size, at + max(n, 1), (slow, fast))
        starts = np.full(slow, -1, np.int64)
        if data.size >= at + n + 4 * slow:
            starts[:] = data[at + n : at + n + 4 * slow].view("<u4")
        image = np.empty((slow, fast), np.int32)
        n_rows, n_bytes = decode_bit_fields(np.ascontiguousarray(data[at : at + n]).view(np.uint8), starts, image)
        if n_rows != slow or n_bytes != n:
            found = f"{n_rows} rows from {n_bytes} bytes: they are corrupt"
            remedy = "copy the file again, or leave the image out with geometry.scan.image_range=<first>,<last>"
            raise HeaderError(self.path, f"pixels from byte {at}", f"{slow} rows from {n} bytes", found, remedy)
        return image
