"""Writing CBF images with byte-offset compression, as Pilatus detectors do."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np

from spindle.files import atomic_write
from spindle.numerics.byte_offset import encode_byte_offset

__all__ = ["write_cbf"]

_PADDING = 4095
_START = b"\x0c\x1a\x04\xd5"


def write_cbf(path: str | Path, text: str, image: np.ndarray) -> int:
    """Write one image; the file appears whole or not at all.

    Parameters
    ----------
    path : path
    text : str
        The file up to the category of the pixels, from "###CBF" on: data block, header lines, CIF categories.
    image : (slow, fast) int32

    Returns
    -------
    int
        Size of the file in bytes.
    """
    data = encode_byte_offset(image)
    checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    section = "\n".join(
        [
            "_array_data.data",
            ";",
            "--CIF-BINARY-FORMAT-SECTION--",
            "Content-Type: application/octet-stream;",
            '     conversions="x-CBF_BYTE_OFFSET"',
            "Content-Transfer-Encoding: BINARY",
            f"X-Binary-Size: {len(data)}",
            "X-Binary-ID: 1",
            'X-Binary-Element-Type: "signed 32-bit integer"',
            "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
            f"Content-MD5: {checksum}",
            f"X-Binary-Number-of-Elements: {image.size}",
            f"X-Binary-Size-Fastest-Dimension: {image.shape[1]}",
            f"X-Binary-Size-Second-Dimension: {image.shape[0]}",
            f"X-Binary-Size-Padding: {_PADDING}",
            "",
            "",
        ]
    )
    end = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
    lines = (text.rstrip() + "\n\n" + section).replace("\r\n", "\n").replace("\n", "\r\n")
    content = lines.encode("latin-1") + _START + data + bytes(_PADDING) + end
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return len(content)
