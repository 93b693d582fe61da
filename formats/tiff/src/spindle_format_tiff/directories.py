"""The directories of a TIFF file, one for each image, found before the library reads them: it follows a chain wherever it leads."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tifffile

from spindle.errors import HeaderError

__all__ = ["Directory", "find_directories", "refuse_bombs"]

MOST_DIRECTORIES = 1_000_000
# Tags that tell whether images are of one kind: width, height, values per pixel.
_WIDTH, _HEIGHT, _SAMPLES = 256, 257, 277
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_DEFLATE, _LZMA = (8, 32946), 34925
# Bytes that may be unpacked without looking, and what deflate packs at most into one.
UNSUSPECTED, MOST_OF_DEFLATE = 1 << 26, 1032


class Directory(NamedTuple):
    """Where the directory of an image is, and its size: width, height, values per pixel (None where it does not say)."""

    offset: int
    size: tuple[int | None, ...]


def find_directories(file: tifffile.TiffFile, path: Path) -> list[Directory]:
    """All directories of a file in the order of their chain.

    Raises
    ------
    HeaderError
        If the chain leads beyond the end of the file or back to itself, or has more than a million.
    """
    kind, handle = file.tiff, file.filehandle
    found: list[Directory] = []
    seen: set[int] = set()
    handle.seek(8 if kind.version == 43 else 4)
    (offset,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
    while offset:
        if offset in seen or len(found) == MOST_DIRECTORIES:
            expected = "a last directory"
            other = f"one that leads back to byte {offset}" if offset in seen else f"more than {MOST_DIRECTORIES}"
            raise HeaderError(path, f"directory {len(found)} of the images", expected, other, "copy the file again")
        seen.add(offset)
        handle.seek(offset)
        head = handle.read(kind.tagnosize)
        n_tags = struct.unpack(kind.tagnoformat, head)[0] if len(head) == kind.tagnosize else 0
        beyond = offset + kind.tagnosize + n_tags * kind.tagsize + kind.offsetsize > handle.size
        if beyond:
            expected = f"directory {len(found)} of the images at byte {offset}"
            remedy = "the file is cut short: copy it again"
            raise HeaderError(path, "end of the file", expected, f"{handle.size} bytes", remedy)
        tags = handle.read(n_tags * kind.tagsize)
        found.append(Directory(offset, _size(tags, kind)))
        (offset,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
    return found


def _size(tags: bytes, kind: tifffile.TiffFormat) -> tuple[int | None, ...]:
    """Width, height and values per pixel that the tags of a directory give."""
    size: dict[int, int] = {}
    start = 8 if kind.version == 42 else 12
    for at in range(0, len(tags), kind.tagsize):
        code, value_type = struct.unpack_from(f"{kind.byteorder}HH", tags, at)
        if code in (_WIDTH, _HEIGHT, _SAMPLES) and value_type in _FORMATS:
            size.setdefault(code, struct.unpack_from(kind.byteorder + _FORMATS[value_type], tags, at + start)[0])
        elif code > _SAMPLES:
            break
    return size.get(_WIDTH), size.get(_HEIGHT), size.get(_SAMPLES, 1)


def refuse_bombs(page: tifffile.TiffPage, path: Path) -> None:
    """Raise HeaderError when a part of the pixels unpacks to more than the image, before the library makes room for all of it."""
    unpack: Callable[[bytes, int], bytes]
    if page.compression in _DEFLATE:
        most, unpack = MOST_OF_DEFLATE, lambda part, length: zlib.decompressobj().decompress(part, length)
    elif page.compression == _LZMA:
        most, unpack = 1 << 16, lambda part, length: lzma.LZMADecompressor().decompress(part, length)
    else:
        return
    handle, room = page.parent.filehandle, page.nbytes
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if count * most <= room + UNSUSPECTED:
            continue
        handle.seek(offset)
        if len(unpack(handle.read(count), room + 1)) > room:
            expected, remedy = f"at most the {room} bytes of the image", "the file is damaged: copy it again"
            raise HeaderError(path, f"packed pixels at byte {offset}", expected, "more", remedy)
