"""The text header of an SMV file: ``{``, lines ``KEY=value;``, ``}``, padded to HEADER_BYTES."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from spindle.errors import HeaderError

_START = re.compile(rb"\s*\{\s*HEADER_BYTES\s*=\s*(\d{1,8})\s*;")
# Looked for where words begin, each word once: damage may be one word of a megabyte.
_ITEM = re.compile(r"(?<![\w.])[\d.]*+([A-Za-z_][\w.]*+)\s*+=\s*([^;\n]*)")
_TYPES = {
    "unsigned_short": "u2",
    "signed_short": "i2",
    "short_int": "i2",
    "unsigned_long": "u4",
    "unsigned_int": "u4",
    "signed_long": "i4",
    "long_int": "i4",
    "long": "i4",
    "integer": "i4",
    "float": "f4",
    "unsigned_char": "u1",
}


@dataclass(frozen=True, slots=True)
class SmvHeader:
    """Items of an SMV header.

    Attributes
    ----------
    items : dict of str to str
    start : int
        First byte of the pixels.
    """

    items: dict[str, str]
    start: int

    def text(self, *names: str) -> str:
        """Value of the first of the names that the header has; "" if it has none."""
        return next((self.items[n] for n in names if self.items.get(n)), "")

    def number(self, *names: str) -> float | None:
        """Number of the first of the names that the header has with a number; None if there is none."""
        for name in names:
            try:
                value = float(self.items[name].split()[0])
            except (KeyError, ValueError, IndexError):
                continue
            if math.isfinite(value):
                return value
        return None

    def shape(self, path: Path) -> tuple[int, int]:
        """(slow, fast) number of pixels."""
        fast, slow = self.number("SIZE1"), self.number("SIZE2")
        if not fast or not slow or not (0 < fast < 1e5 and 0 < slow < 1e5):
            found = f"SIZE1={self.text('SIZE1')} and SIZE2={self.text('SIZE2')}"
            raise HeaderError(path, "header, SIZE1= and SIZE2=", "the size of the image", found, "copy the file again")
        return int(slow), int(fast)

    def dtype(self, path: Path) -> str:
        """numpy's name of the type of the pixels."""
        kind = self.text("TYPE", "Data_type").lower().replace(" ", "_") or "unsigned_short"
        if kind not in _TYPES:
            known = f"a known type of pixels ({', '.join(sorted(_TYPES))})"
            raise HeaderError(path, "header, TYPE=", known, kind, "write the type that the pixels have")
        return (">" if self.text("BYTE_ORDER").lower().startswith("big") else "<") + _TYPES[kind]


def is_smv(head: bytes) -> bool:
    """Whether a file begins like an SMV header with an image size."""
    return bool(_START.match(head)) and b"SIZE1" in head and b"SIZE2" in head


def parse_smv(head: bytes, path: Path) -> SmvHeader:
    """Read a header.

    Raises
    ------
    FileFormatError
        If it does not begin as it should.
    """
    match = _START.match(head)
    if not match:
        raise HeaderError(path, "byte 0", "{ and HEADER_BYTES=", head[:16], "copy the file again, or leave it out")
    start = int(match.group(1))
    if start < match.end():
        raise HeaderError(path, "header, HEADER_BYTES=", "the length of the header", start, "copy the file again")
    text = head[match.start() : start].decode("latin-1")
    text = text[text.index("{") + 1 :].partition("}")[0]
    return SmvHeader({k: v.strip() for k, v in _ITEM.findall(text)}, start)
