"""Binary sections of a CBF file: where the pixels of each array are and how they are stored."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.errors import HeaderError
from spindle_lib_readers.single import refuse_giants

SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
START = b"\x0c\x1a\x04\xd5"
COPY_AGAIN = "copy the file again"

# The closing line of a section is its opening line with two more dashes.
_OPENING = re.compile(re.escape(SECTION) + rb"(?!--)")
_FIELD = re.compile(rb"^([\w-]++):(.*)$", re.MULTILINE)
_CONVERSIONS = re.compile(rb'conversions\s*=\s*"?(x-CBF_[A-Za-z0-9_]+)"?([^\r\n]*)', re.IGNORECASE)
_ENCODING = re.compile(rb"^Content-Transfer-Encoding:\s*([\w-]+)", re.MULTILINE | re.IGNORECASE)
_ELEMENT = re.compile(r"(un)?signed (8|16|32|64)-bit integer|signed (32|64)-bit real", re.IGNORECASE)
# Bytes that the header of a section and the padding before it take at most.
_HEADER_ROOM = 1 << 17
# No compression holds more: packed blocks of 128 equal pixels take six bits.
_MOST_PER_BYTE = 171


@dataclass(frozen=True, slots=True)
class BinaryHeader:
    """What precedes the pixels of one array.

    Attributes
    ----------
    start : int
        Position of the first byte of pixels in the file.
    size : int
        Bytes of compressed pixels.
    compression : str
        As in the file, such as "x-CBF_BYTE_OFFSET"; "" for none.
    n_elements, fast, slow, layers : int
        Pixels in all and along each dimension.
    element_type : str
    md5 : str
        Base64 of the checksum of the compressed bytes; "" when not given.
    is_big_endian : bool
        Of uncompressed pixels; compressed ones are little endian by definition.
    is_flat, is_correlated : bool
        Variants of the packed compressions.
    number : int
        The file's number for the section; 0 when it gives none.
    """

    start: int
    size: int
    compression: str
    n_elements: int
    fast: int
    slow: int
    element_type: str
    md5: str
    is_big_endian: bool = False
    layers: int = 1
    is_flat: bool = False
    is_correlated: bool = True
    number: int = 0

    @property
    def stored_type(self) -> str:
        """numpy's name of the type of the pixels; "" for one that is not read."""
        match = _ELEMENT.fullmatch(self.element_type.replace("IEEE", "").strip())
        if match is None:
            return ""
        order = ">" if self.is_big_endian else "<"
        if match.group(3):
            return f"{order}f{int(match.group(3)) // 8}"
        return f"{order}{'u' if match.group(1) else 'i'}{int(match.group(2)) // 8}"

    @property
    def packing(self) -> str:
        """Name of the compression in capitals, without its prefix; "NONE" for none."""
        return self.compression.upper().removeprefix("X-CBF_") or "NONE"

    @property
    def out_type(self) -> type[np.int32] | type[np.float32]:
        """Type of the pixels in memory."""
        return np.float32 if self.stored_type[1:2] == "f" else np.int32


def find_binary(head: bytes, path: Path, first: int = 0) -> BinaryHeader:
    """Header of the first binary section.

    Parameters
    ----------
    head : bytes
        A piece of the file in which the section begins.
    path : Path
        For messages.
    first : int
        Where the piece begins in the file.

    Raises
    ------
    FileFormatError
        If there is none in `head`, or it lacks a size, or its sizes contradict each other.
    """
    opening = _OPENING.search(head)
    section = opening.start() if opening else -1
    start = head.find(START, max(section, 0))
    if section < 0 or start < 0:
        encoding = _ENCODING.search(head, section) if section >= 0 else None
        if encoding and encoding.group(1).upper() != b"BINARY":
            raise HeaderError(
                path,
                f"binary section at byte {first + section}",
                "pixels written as bytes (BINARY)",
                encoding.group(1).decode("latin-1"),
                "write the file as CBF instead of imgCIF (cbflib: cif2cbf -e none) and import it again",
            )
        expected = f"pixels ('{SECTION.decode()}' and the bytes 0C 1A 04 D5)"
        remedy = "the file is cut short or no image: copy it again"
        raise HeaderError(path, f"bytes 0 to {first + len(head)}", expected, None, remedy)
    block = head[section:start]
    place = f"binary section at byte {first + section}"
    conversion = _CONVERSIONS.search(block)
    variant = conversion.group(2).decode("latin-1").lower() if conversion else ""
    fields = {
        key.decode().lower(): value.strip(b" \t\r").decode("latin-1").strip('"') for key, value in _FIELD.findall(block)
    }
    numbers = {}
    for name in ("X-Binary-Size", "X-Binary-Size-Fastest-Dimension", "X-Binary-Size-Second-Dimension"):
        text = fields.get(name.lower(), "")
        if not text.isdigit() or int(text) == 0:
            remedy = "copy the file again, or have CBFlib's cif2cbf write it with all sizes"
            raise HeaderError(path, place, f"a number as {name}", f"'{text}'", remedy)
        numbers[name] = int(text)
    third = fields.get("x-binary-size-third-dimension", "")
    layers = max(int(third), 1) if third.isdigit() else 1
    fast, slow = numbers["X-Binary-Size-Fastest-Dimension"], numbers["X-Binary-Size-Second-Dimension"]
    said = fields.get("x-binary-number-of-elements", "")
    if said and said != str(fast * slow * layers):
        sizes = f"{fast} x {slow}" + (f" x {layers}" if layers > 1 else "")
        raise HeaderError(path, place, f"{sizes} = {fast * slow * layers} pixels", f"{said} elements", COPY_AGAIN)
    if fast * slow * layers > _MOST_PER_BYTE * numbers["X-Binary-Size"]:
        found = f"{fast * slow * layers} pixels in {numbers['X-Binary-Size']} bytes"
        raise HeaderError(path, place, f"at most {_MOST_PER_BYTE} pixels per byte", found, COPY_AGAIN)
    refuse_giants(path, place, fast * slow * layers)
    number = fields.get("x-binary-id", "")
    return BinaryHeader(
        start=first + start + len(START),
        size=numbers["X-Binary-Size"],
        compression=conversion.group(1).decode() if conversion else "",
        n_elements=fast * slow * layers,
        fast=fast,
        slow=slow,
        element_type=fields.get("x-binary-element-type", "") or "signed 32-bit integer",
        md5=fields.get("content-md5", ""),
        is_big_endian=fields.get("x-binary-element-byte-order", "").upper().startswith("BIG"),
        layers=layers,
        is_flat="flat" in variant,
        is_correlated="uncorrelated_sections" not in variant,
        number=int(number) if number.isdigit() else 0,
    )


def find_sections(data: np.ndarray, first: BinaryHeader, n: int, path: Path) -> list[BinaryHeader]:
    """Headers of the binary sections of a file with several arrays.

    Parameters
    ----------
    data : (n_bytes,) int8
        The whole file.
    first : BinaryHeader
    n : int
        How many there should be.
    path : Path
        For messages.
    """
    found = [first]
    while len(found) < n:
        at = found[-1].start + found[-1].size
        piece = data[at : at + _HEADER_ROOM].tobytes()
        if at >= data.size:
            raise cut_short(path, data.size, found[-1])
        if _OPENING.search(piece) is None:
            raise HeaderError(
                path, f"after byte {at}", f"binary section {len(found) + 1} of {n}", "none", "the file is cut short: copy it again"
            )  # fmt: skip
        found.append(find_binary(piece, path, at))
    return found


def cut_short(path: Path, length: int, header: BinaryHeader) -> HeaderError:
    """The error of a file of `length` bytes that should hold more."""
    needed = f"{header.start + header.size} bytes ({header.size} of pixels from byte {header.start})"
    remedy = "the file is cut short: copy it again"
    return HeaderError(path, "end of the file", needed, f"{length} bytes", remedy)
