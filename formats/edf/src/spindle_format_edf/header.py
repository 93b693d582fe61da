"""Header blocks of an EDF file: ``{``, ``key = value ;`` lines, ``}``, padded with blanks to a multiple of 512 bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_TYPES = {
    "unsignedbyte": "u1", "signedbyte": "i1", "unsignedshort": "u2", "signedshort": "i2", "unsignedinteger": "u4",
    "signedinteger": "i4", "unsignedlong": "u4", "signedlong": "i4", "unsigned64": "u8", "signed64": "i8",
    "floatvalue": "f4", "float": "f4", "floatieee32": "f4", "real": "f4", "doublevalue": "f8", "double": "f8",
    "floatieee64": "f8",
}  # fmt: skip
# No header block is longer; files of other kinds that begin with a brace are given up early.
LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class EdfBlock:
    """One image of a file.

    Attributes
    ----------
    items : dict of str to str
        Keys in lower case.
    start : int
        First byte of the pixels.
    """

    items: dict[str, str]
    start: int

    def text(self, *names: str) -> str:
        """Value of the first of the names that there is; "" for none."""
        return next((self.items[n] for n in names if self.items.get(n)), "")

    def number(self, *names: str) -> float | None:
        """Number at the beginning of the first value that has one; None for none."""
        for name in names:
            match = _NUMBER.match(self.items.get(name, ""))
            if match:
                return float(match.group())
        return None

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast); zeros when the header does not say."""
        fast, slow = self.number("dim_1"), self.number("dim_2")
        return (int(slow or 0), int(fast or 0)) if max(fast or 0, slow or 0) < 1e6 else (0, 0)

    @property
    def dtype(self) -> str:
        """numpy's name of the type of the pixels; "" when it is not known."""
        kind = _TYPES.get(self.text("datatype").lower(), "")
        order = ">" if self.text("byteorder").lower().startswith("high") else "<"
        return order + kind if kind else ""

    @property
    def compression(self) -> str:
        """Name of the compression in lower case; "" for none."""
        name = self.text("compression").lower()
        return "" if name in ("none", "nocompression") else name

    @property
    def n_pixel_bytes(self) -> int:
        """Bytes of pixels in memory; 0 for an unknown type."""
        return self.shape[0] * self.shape[1] * (np.dtype(self.dtype).itemsize if self.dtype else 0)

    @property
    def n_bytes(self) -> int:
        """Bytes of pixels in the file: what the header says, or what its size and type need."""
        said = int(self.number("size", "edf_binarysize") or 0)
        return said if said and self.compression else max(said, self.n_pixel_bytes)


def is_edf(head: bytes) -> bool:
    """Whether a file begins like an EDF image."""
    start = head.lstrip()[:1]
    block = head[:8192].lower()
    return start == b"{" and b"dim_1" in block and b"datatype" in block and b"header_bytes" not in block[:64]


def parse_block(data: bytes) -> EdfBlock | None:
    """Read the header at the beginning of some bytes; None when there is no complete one."""
    first = data.find(b"{")
    if first < 0 or data[:first].strip():
        return None
    end = data.find(b"}", first)
    if end < 0:
        return None
    items: dict[str, str] = {}
    for part in data[first + 1 : end].decode("latin-1").split(";"):
        key, equals, value = part.partition("=")
        if equals:
            items.setdefault(key.strip().lower(), value.strip())
    # One line feed (or carriage return and line feed) follows the brace.
    start = end + 1
    if data[start : start + 1] == b"\r":
        start += 1
    if data[start : start + 1] == b"\n":
        start += 1
    return EdfBlock(items, start)
