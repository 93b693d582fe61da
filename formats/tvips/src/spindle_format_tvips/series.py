"""The headers of a TVIPS series.

A series is name_000.tvips, name_001.tvips ...: the first file begins with a header of 256 bytes, and then all of them
hold images, each after a header of its own. Little endian. TVIPS's own description of the fields is quoted by
LiberTEM and RosettaSciIO, whose names for them are followed here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEADER_SIZE = 256
_LARGEST = 1 << 16
_TYPES = {8: "<u1", 16: "<u2"}
# Bytes of the header of an image in version 1: counter, time, milliseconds.
_FIRST_VERSION = 12
_FIELDS = {
    "counter": (0, "<u4"), "time": (4, "<u4"), "ms": (8, "<u4"), "length": (20, "<u4"), "mode": (24, "<u4"),
    "alpha": (40, "<f4"),
}  # fmt: skip
# Bytes of an image's header that reach the angle of the stage.
_WITH_ANGLE = 44
DIFFRACTION = 2


@dataclass(frozen=True, slots=True)
class TvipsHeader:
    """The header of a series.

    Attributes
    ----------
    shape : (slow, fast)
    dtype : str
    binning : (int, int)
    pixel_nm, kilovolt, magnification : int
        Size of a pixel of the camera, high tension, total magnification.
    image_header : int
        Bytes before the pixels of an image.
    """

    shape: tuple[int, int]
    dtype: str
    binning: tuple[int, int]
    pixel_nm: int
    kilovolt: int
    magnification: int
    image_header: int

    @property
    def pitch(self) -> int:
        """Bytes from one image to the next."""
        return self.image_header + self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    @property
    def has_angle(self) -> bool:
        """Whether the images come with the state of the microscope."""
        return self.image_header >= _WITH_ANGLE

    def record(self) -> np.dtype:
        """Type of an image with its header."""
        fields = {n: f for n, f in _FIELDS.items() if f[0] + 4 <= self.image_header}
        return np.dtype(
            {
                "names": list(fields),
                "formats": [kind for _, kind in fields.values()],
                "offsets": [place for place, _ in fields.values()],
                "itemsize": self.pitch,
            }
        )


def read_header(head: bytes) -> TvipsHeader | None:
    """The header at the beginning of a first file; None when it is none.

    There is no magic number: the size of the header, its version, the bits of a pixel, the size and the binning of the
    images have to make sense.
    """
    if len(head) < HEADER_SIZE:
        return None
    size, version, fast, slow, bits, _, _, bin_x, bin_y, pixel, voltage, magnification, extra = struct.unpack_from(
        "<13I", head
    )
    extra = _FIRST_VERSION if version == 1 else extra
    is_sane = (
        size == HEADER_SIZE
        and version in (1, 2)
        and bits in _TYPES
        and 0 < fast < _LARGEST
        and 0 < slow < _LARGEST
        and 0 < bin_x <= 64
        and 0 < bin_y <= 64
        and _FIRST_VERSION <= extra < _LARGEST
    )
    if not is_sane:
        return None
    return TvipsHeader((slow, fast), _TYPES[bits], (bin_x, bin_y), pixel, voltage, magnification, extra)


def part_number(path: Path) -> int | None:
    """Number of a file in its series, from its name; None when the name has none."""
    found = re.search(r"_(\d{3})\.tvips(\.gz|\.bz2)?$", path.name, flags=re.IGNORECASE)
    return None if found is None else int(found[1])


def part_path(path: Path, number: int) -> Path:
    """File of the same series with another number."""
    return path.with_name(re.sub(r"_\d{3}(\.tvips.*)$", rf"_{number:03d}\1", path.name, flags=re.IGNORECASE))


def parts_of(path: Path) -> list[Path]:
    """The files of the series that a first file begins, in order; only itself when it is not numbered 000."""
    found = [path]
    while part_number(path) == 0 and part_path(path, len(found)).is_file():
        found.append(part_path(path, len(found)))
    return found
