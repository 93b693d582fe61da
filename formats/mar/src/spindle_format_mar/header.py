"""Headers of marCCD and mar345 files.

marCCD (Rayonix) files are TIFF files with a frame header of 3072 bytes at byte 1024: integers at fixed places, lengths
in micrometres, nanometres or femtometres, angles in thousandths of a degree (Rayonix, "The MarCCD header", C header
file of the format). mar345 files begin with the number 1234 and have 64-character lines of text from byte 128.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from spindle.geometry import image_width

# Place of the frame header in the file, and of its parts in it.
FRAME = 1024
_MAGIC = 1234
_AXES = ("twotheta", "omega", "chi", "kappa", "phi", "delta", "gamma")
_START, _END = 668, 700
PIXELS = 4096


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Items of a marCCD frame header; 0 where the file says nothing.

    Attributes
    ----------
    order : "<" or ">"
        Byte order of the pixels.
    size : (int, int)
        Pixels, fast, slow.
    depth : int
        Bytes per pixel.
    distance : float, mm
    beam : (float, float)
        Fast, slow; pixels, or mm at the ESRF.
    pixel_size : (float, float), mm
    two_theta, start, width : float, degrees
        Of the detector, and of the axis that was turned.
    axis : str
        Its name.
    exposure_time : float, s
    wavelength : float, angstrom
    bias : float
        Offset of the pixels.
    saturated : int
    date, comment : str
    """

    order: str
    size: tuple[int, int]
    depth: int
    distance: float
    beam: tuple[float, float]
    pixel_size: tuple[float, float]
    two_theta: float
    axis: str
    start: float
    width: float
    exposure_time: float
    wavelength: float
    bias: float
    saturated: int
    date: str
    comment: str


def _order(head: bytes) -> str:
    """Byte order of the integers of the frame header; "" when there is none."""
    if len(head) < PIXELS or head[:4] not in (b"II*\0", b"MM\0*"):
        return ""
    for order in "<>":
        if _MAGIC in struct.unpack_from(f"{order}2i", head, FRAME + 28):
            fast, slow, depth = struct.unpack_from(f"{order}3i", head, FRAME + 80)
            if 0 < fast < 100000 and 0 < slow < 100000 and depth in (1, 2, 4):
                return order
    return ""


def is_marccd(head: bytes) -> bool:
    """Whether a TIFF file has a marCCD frame header."""
    return bool(_order(head))


def parse_marccd(head: bytes) -> FrameHeader | None:
    """Read a frame header; None when there is none."""
    order = _order(head)
    if not order:
        return None

    def number(place: int) -> int:
        return int(struct.unpack_from(f"{order}i", head, FRAME + place)[0])

    def text(place: int, length: int) -> str:
        return head[FRAME + place : FRAME + place + length].partition(b"\0")[0].decode("latin-1").strip()

    axis = number(732)
    starts = [number(_START + 4 * i) * 1e-3 for i in range(7)]
    ends = [number(_END + 4 * i) * 1e-3 for i in range(7)]
    if not 0 <= axis < 7:
        axis = 4
    width = image_width(starts[axis], ends[axis])
    return FrameHeader(
        order="<" if number(32) == _MAGIC and order == "<" else ">" if order == ">" else "<",
        size=(number(80), number(84)),
        depth=number(88),
        distance=(number(640) or number(696)) * 1e-3,
        beam=(number(644) * 1e-3, number(648) * 1e-3),
        pixel_size=(number(772) * 1e-6, number(776) * 1e-6),
        two_theta=starts[0] if axis != 0 else 0.0,
        axis=_AXES[axis],
        start=starts[axis],
        width=width or number(736) * 1e-3,
        exposure_time=(number(656) or number(652)) * 1e-3,
        wavelength=number(908) * 1e-5,
        bias=number(780) * 1e-3,
        saturated=number(104) & 0xFFFFFFFF,
        date=text(1024 + 320, 32),
        comment=text(1024 + 416, 512),
    )


_MAR345 = re.compile(rb"mar research")
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")


def is_mar345(head: bytes) -> bool:
    """Whether a file begins like one of a mar345."""
    return len(head) >= 256 and _MAGIC in struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4]) and bool(
        _MAR345.match(head[128:])
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mar345Header:
    """Lines of a mar345 header by their first word."""

    lines: dict[str, str]

    def number(self, line: str, item: str = "") -> float | None:
        """First number of a line, or the one after a word; None when there is none."""
        text = self.lines.get(line, "")
        if item:
            text = text.partition(item)[2]
        match = _NUMBER.search(text)
        return float(match.group()) if match else None


def parse_mar345(head: bytes) -> Mar345Header:
    """Read the text of a header."""
    lines: dict[str, str] = {}
    for raw in head[128:4096].split(b"\n"):
        key, _, rest = raw.decode("latin-1").strip("\0 \r").partition(" ")
        if key and key not in lines:
            lines[key] = rest.strip()
        if key == "END":
            break
    return Mar345Header(lines)
