"""The header of an MRC file: MRC2014 (Cheng et al. 2015, J. Struct. Biol. 192, 146-150; www.ccpem.ac.uk/mrc_format)
and the extended header of FEI and Thermo Fisher microscopes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

HEADER_SIZE = 1024
# numpy's name by mode; the byte order goes before it. 3 and 4 are complex, 101 is packed half bytes.
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_MODES = (0, 1, 2, 3, 4, 6, 12, 101)
_MOST = 1 << 24
# Of files by IMOD: a stamp and, in its flags, whether bytes have a sign (bio3d.colorado.edu/imod/doc/mrc_format.txt).
_IMOD_STAMP = 1146047817


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What is needed of the 1024 bytes.

    Attributes
    ----------
    order : "<" or ">"
    shape : (n, slow, fast)
    mode : int
    dtype : str
        numpy's name with the byte order; "" for pixels that are not plain numbers.
    extended_type : str
        "FEI1", "FEI2", "SERI" ...
    extended_size : int
        Bytes between this header and the pixels.
    """

    order: str
    shape: tuple[int, int, int]
    mode: int
    dtype: str
    extended_type: str
    extended_size: int

    @property
    def start(self) -> int:
        """First byte of the pixels."""
        return HEADER_SIZE + self.extended_size


def _is_sane(head: bytes, order: str) -> bool:
    nx, ny, nz, mode = struct.unpack_from(order + "4i", head)
    extended = struct.unpack_from(order + "i", head, 92)[0]
    return min(nx, ny, nz) > 0 and max(nx, ny, nz) < _MOST and mode in _MODES and extended >= 0


def byte_order(head: bytes) -> str:
    """ "<" or ">" when the beginning of a file is an MRC header, else "".

    The machine stamp decides when both orders make sense; some programs write none.
    """
    if len(head) < HEADER_SIZE or head[208:211] != b"MAP" or head[211:212] not in (b" ", b"\0"):
        return ""
    orders = [order for order in "<>" if _is_sane(head, order)]
    stamped = {b"\x44": "<", b"\x11": ">"}.get(head[212:213], "<")
    return stamped if stamped in orders else (orders or [""])[0]


def read_header(head: bytes) -> MrcHeader:
    """The header at the beginning of a file that `byte_order` knows."""
    order = byte_order(head)
    nx, ny, nz, mode = struct.unpack_from(order + "4i", head)
    kind = _TYPES.get(mode, "")
    stamp, flags = struct.unpack_from(order + "2i", head, 152)
    if mode == 0 and stamp == _IMOD_STAMP and not flags & 1:
        kind = "u1"
    return MrcHeader(
        order=order,
        shape=(nz, ny, nx),
        mode=mode,
        dtype=order + kind if kind else "",
        extended_type=head[104:108].decode("latin-1").strip(" \0"),
        extended_size=struct.unpack_from(order + "i", head, 92)[0],
    )


# Fields of a record of the extended header, one for each image, by their byte in it. "Thermo Fisher MRC2014 extended
# header", versions 1 and 2; lengths are in metres, in diffraction the size of a pixel is in 1/m.
_FEI1 = {
    "size": (0, "i4"), "mask": (8, "u4"), "time": (12, "f8"), "voltage": (84, "f8"), "alpha": (100, "f8"), "axis": (140, "f8"),
    "pixel_x": (156, "f8"), "pixel_y": (164, "f8"), "mode": (248, "i4"), "camera_length": (301, "f8"),
    "exposure": (419, "f8"), "binning": (427, "i4"), "camera": (435, "S16"),
}  # fmt: skip
_FEI2 = {
    "tilt_start": (820, "f8"), "tilt_end": (828, "f8"), "tilt_per_image": (836, "f8"), "centre_x": (852, "i4"),
    "centre_y": (856, "i4"),
}  # fmt: skip
FEI_SIZES = {"FEI1": 768, "FEI2": 888}
# Times are in days since the end of 1899.
DAYS_TO_1970 = 25569.0
# Bit of the mask that says whether the angle of the tilt axis was set.
AXIS_BIT = 12


def fei_dtype(header: MrcHeader, pitch: int) -> np.dtype:
    """Type of the records of an extended header that are `pitch` bytes apart."""
    fields = _FEI1 | (_FEI2 if header.extended_type == "FEI2" else {})
    orders = {"mask": "<"}  # bit masks are little endian in all files
    return np.dtype(
        {
            "names": list(fields),
            "formats": [orders.get(name, header.order) + kind for name, (_, kind) in fields.items()],
            "offsets": [place for place, _ in fields.values()],
            "itemsize": pitch,
        }
    )
