"""The binary section of a CBF file: its header and its pixels."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError

from .kernels import decode_byte_offset

SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
START = b"\x0c\x1a\x04\xd5"

_FIELD = re.compile(rb"^([\w-]+):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_CONVERSIONS = re.compile(rb'conversions\s*=\s*"?(x-CBF_[A-Za-z0-9_]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BinaryHeader:
    """What precedes the pixels.

    Attributes
    ----------
    start : int
        Position of the first byte of pixels in the file.
    size : int
        Bytes of compressed pixels.
    compression : str
        As in the file, such as "x-CBF_BYTE_OFFSET"; "" for none.
    n_elements, fast, slow : int
    element_type : str
    md5 : str
        Base64 of the checksum of the compressed bytes; "" when not given.
    is_big_endian : bool
        Of uncompressed pixels; byte offset is little endian by definition.
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


def find_binary(head: bytes, path: Path) -> BinaryHeader:
    """Header of the first binary section.

    Raises
    ------
    FileFormatError
        If there is none in `head`, or it lacks a size, or it describes something other than one image.
    """
    section = head.find(SECTION)
    start = head.find(START, max(section, 0))
    if section < 0 or start < 0:
        raise FileFormatError(
            f"{path}: no pixels in the first {len(head)} bytes (expected '{SECTION.decode()}' and the bytes 0C 1A 04 "
            "D5); the file is cut short or is not an image: copy it again"
        )
    block = head[section:start]
    conversion = _CONVERSIONS.search(block)
    fields = {key.decode().lower(): value.decode("latin-1").strip('"') for key, value in _FIELD.findall(block)}
    numbers = {}
    for name in (
        "X-Binary-Size",
        "X-Binary-Number-of-Elements",
        "X-Binary-Size-Fastest-Dimension",
        "X-Binary-Size-Second-Dimension",
    ):
        text = fields.get(name.lower(), "")
        if not text.isdigit():
            raise FileFormatError(
                f"{path}, byte {section}: the header of the pixels has no usable '{name}' (found '{text}', expected a "
                "number)"
            )
        numbers[name] = int(text)
    third = fields.get("x-binary-size-third-dimension", "")
    if third.isdigit() and int(third) > 1:
        raise FileFormatError(
            f"{path}, byte {section}: the pixels have a third dimension of {third}; only flat images are read from "
            "CBF files"
        )
    fast, slow = numbers["X-Binary-Size-Fastest-Dimension"], numbers["X-Binary-Size-Second-Dimension"]
    if fast * slow != numbers["X-Binary-Number-of-Elements"]:
        raise FileFormatError(
            f"{path}, byte {section}: the header says {fast} x {slow} = {fast * slow} pixels and also "
            f"{numbers['X-Binary-Number-of-Elements']} elements; the file is corrupt"
        )
    return BinaryHeader(
        start=start + len(START),
        size=numbers["X-Binary-Size"],
        compression=conversion.group(1).decode() if conversion else "",
        n_elements=fast * slow,
        fast=fast,
        slow=slow,
        element_type=fields.get("x-binary-element-type", "") or "signed 32-bit integer",
        md5=fields.get("content-md5", ""),
        is_big_endian=fields.get("x-binary-element-byte-order", "").upper().startswith("BIG"),
    )


def check_readable(header: BinaryHeader, path: Path) -> None:
    """Raise FileFormatError when the pixels are stored in a way that is not read here."""
    if header.compression.upper() not in ("X-CBF_BYTE_OFFSET", "", "X-CBF_NONE"):
        raise FileFormatError(
            f"{path}: the pixels are compressed with {header.compression}; x-CBF_BYTE_OFFSET and no compression are "
            "read. Convert the file to byte offset (cbflib: convert_image, cif2cbf) and import it again"
        )
    if "32-bit integer" not in header.element_type:
        raise FileFormatError(f"{path}: the pixels are '{header.element_type}'; 32-bit integers are read")


def cut_short(path: Path, length: int, header: BinaryHeader) -> FileFormatError:
    """The error of a file of `length` bytes that should hold more."""
    return FileFormatError(
        f"{path}: cut short at byte {length}: the pixels should reach byte {header.start + header.size} "
        f"({header.size} bytes from byte {header.start}); copy the file again"
    )


def decode(data: np.ndarray, header: BinaryHeader, out: np.ndarray, path: Path, verify: bool) -> None:
    """Decode the pixels of a file.

    Parameters
    ----------
    data : (n_bytes,) int8
        The whole file.
    header : BinaryHeader
    out : (slow, fast) int32, C contiguous
    path : Path
        For messages.
    verify : bool
        Compare the checksum first.

    Raises
    ------
    FileFormatError
        If the file ends too early, the checksum differs or the compressed bytes do not decode to the image.
    """
    end = header.start + header.size
    if data.size < end:
        raise cut_short(path, data.size, header)
    pixels = data[header.start : end]
    if verify:
        verify_checksum(pixels, header, path)
    if header.compression.upper() == "X-CBF_BYTE_OFFSET":
        n_pixels, n_bytes, _ = decode_byte_offset(pixels, out.reshape(-1), 0, 0)
        complete = n_pixels == header.n_elements and n_bytes == header.size
    else:
        n_bytes, expected = header.size, 4 * header.n_elements
        n_pixels = header.size // 4
        complete = header.size == expected
        if complete:
            # numpy reads from any address; the header before the pixels leaves them at odd ones.
            out.reshape(-1)[:] = pixels.view(">i4" if header.is_big_endian else "<i4")
    if not complete:
        verify_checksum(pixels, header, path)
        raise FileFormatError(
            f"{path}: the pixels are corrupt: {n_pixels} pixels came out of {n_bytes} bytes, expected "
            f"{header.n_elements} pixels ({header.fast} x {header.slow}) from {header.size} bytes starting at byte "
            f"{header.start}; copy the file again"
        )


def decode_stream(stream: FileIO, buffer: np.ndarray, filled: int, header: BinaryHeader, out: np.ndarray) -> bool:
    """Decode byte-offset pixels while reading them, piece by piece: a piece stays in the processor's cache.

    Parameters
    ----------
    stream : binary file, not buffered
        Positioned after what is in the buffer.
    buffer : (n,) int8
        Room for a piece.
    filled : int
        Bytes at the beginning of the buffer that are the beginning of the file.
    header : BinaryHeader
    out : (slow, fast) int32, C contiguous

    Returns
    -------
    bool
        False when the file holds something else than the image that the header describes.
    """
    flat = out.reshape(-1)
    if header.start < filled:
        left = filled - header.start
        buffer[:left] = buffer[header.start : filled].copy()
    else:
        stream.seek(header.start)
        left = 0
    pixels = value = used = 0
    room = buffer.data
    while True:
        n = min(left, header.size - used)
        pixels, step, value = decode_byte_offset(buffer[:n], flat, pixels, value)
        used += step
        if pixels == flat.size or used + left - step >= header.size:
            return bool(pixels == flat.size and used == header.size)
        left -= step
        if left:
            buffer[:left] = buffer[step : step + left].copy()
        got = stream.readinto(room[left:])
        if not got:
            return False
        left += got


def verify_checksum(pixels: np.ndarray, header: BinaryHeader, path: Path) -> None:
    """Compare the MD5 checksum of the compressed bytes with the one in the header, when there is one.

    Raises
    ------
    FileFormatError
        If they differ.
    """
    if not header.md5:
        return
    found = base64.b64encode(hashlib.md5(memoryview(pixels), usedforsecurity=False).digest()).decode()
    if found != header.md5:
        raise FileFormatError(
            f"{path}: the checksum of the {header.size} bytes of pixels from byte {header.start} is {found}, the "
            f"header says {header.md5}; the file is corrupt: copy it again"
        )
