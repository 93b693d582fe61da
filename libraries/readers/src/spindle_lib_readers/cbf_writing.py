"""Writing CBF images with byte-offset compression, as Pilatus detectors do."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spindle.files import atomic_write

from .byte_offset import encode_byte_offset

__all__ = ["binary_section", "block_heading", "write_cbf"]

_PADDING = 4095
_DIMENSIONS = ("Fastest", "Second", "Third")
_START = b"\x0c\x1a\x04\xd5"


def write_cbf(path: str | Path, text: str, image: np.ndarray | Mapping[str, np.ndarray]) -> int:
    """Write one image; the file appears whole or not at all.

    Parameters
    ----------
    path : path
    text : str
        The file up to the category of the pixels, from "###CBF" on: data block, header lines, CIF categories.
    image : (slow, fast) int32, or a dict of array_id to such
        Several arrays become binary sections 1, 2, ... in their order.

    Returns
    -------
    int
        Size of the file in bytes.
    """
    if isinstance(image, Mapping):
        lines = ["loop_", "_array_data.array_id", "_array_data.binary_id", "_array_data.data", ""]
        content = _text(text.rstrip() + "\n\n" + "\n".join(lines))
        for number, (name, pixels) in enumerate(image.items(), start=1):
            content += _text(f"{name} {number}\n") + _section(pixels, number)
    else:
        content = _text(text.rstrip() + "\n\n_array_data.data\n") + _section(image, 1)
    content += b"\r\n"
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def _text(lines: str) -> bytes:
    """Text with the ends of lines that CBF files have."""
    return lines.replace("\r\n", "\n").replace("\n", "\r\n").encode("latin-1")


def binary_section(
    data: bytes,
    shape: tuple[int, ...],
    conversion: str,
    element: str = "signed 32-bit integer",
    number: int = 1,
    padding: int = _PADDING,
) -> bytes:
    """A binary section: the pixels of one array with the lines that say what they are.

    Parameters
    ----------
    data : bytes
        Compressed pixels.
    shape : (slow, fast) or (layers, slow, fast)
    conversion : str
        ``x-CBF_BYTE_OFFSET`` or ``x-CBF_PACKED"; "flat``: what stands between the quotation marks; "" for none.
    element : str
        Type of the pixels, in the words of the format.
    number : int
        X-Binary-ID.
    padding : int
        Bytes of zero after the pixels, for readers that look ahead.

    References
    ----------
    CBFlib manual, section 3.3; International Tables for Crystallography G, chapter 2.3.
    """
    checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    sizes = [f"X-Binary-Size-{name}-Dimension: {n}" for name, n in zip(_DIMENSIONS, reversed(shape))]
    section = "\n".join(
        [
            ";",
            "--CIF-BINARY-FORMAT-SECTION--",
            "Content-Type: application/octet-stream;",
            *([f'     conversions="{conversion}"'] if conversion else []),
            "Content-Transfer-Encoding: BINARY",
            f"X-Binary-Size: {len(data)}",
            f"X-Binary-ID: {number}",
            f'X-Binary-Element-Type: "{element}"',
            "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
            f"Content-MD5: {checksum}",
            f"X-Binary-Number-of-Elements: {int(np.prod(shape))}",
            *sizes,
            f"X-Binary-Size-Padding: {padding}",
            "",
            "",
        ]
    )
    return _text(section) + _START + data + bytes(padding) + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n"


def block_heading(name: str) -> str:
    """First line of a data block, whose name is printable ASCII without blanks."""
    return "data_" + re.sub(r"[^!-~]", "_", name)


def _section(image: np.ndarray, number: int) -> bytes:
    """A binary section, with byte-offset compression."""
    return binary_section(encode_byte_offset(image), image.shape, "x-CBF_BYTE_OFFSET", number=number)
