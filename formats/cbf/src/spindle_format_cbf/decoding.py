"""Pixels out of the binary sections of CBF files, whichever way they are compressed."""

from __future__ import annotations

import base64
import hashlib
from io import FileIO
from pathlib import Path

import numpy as np

from spindle.contracts.format import Chunk
from spindle.errors import HeaderError

from .binary import BinaryHeader, cut_short
from .kernels import decode_byte_offset

UNCHECKED = "; to read such images nevertheless import with format.verify_checksum=False"
LEAVE_OUT = "copy the file again, or leave the image out with geometry.scan.image_range=<first>,<last>"

PACKINGS = ("BYTE_OFFSET", "PACKED", "PACKED_V2", "NIBBLE_OFFSET", "CANONICAL", "NONE")
# Those that hold reals and 64-bit integers, too: reals are packed as if their bits were integers.
_WIDE = ("PACKED", "PACKED_V2", "NONE")
_LARGEST = np.iinfo(np.int32).max


def check_readable(header: BinaryHeader, path: Path) -> None:
    """Raise FileFormatError when the pixels are stored in a way that is not read here."""
    if header.packing not in PACKINGS:
        remedy = "convert the file to byte offset (cbflib: convert_image, cif2cbf) and import it again"
        where = f"binary section at byte {header.start}"
        raise HeaderError(path, where, f"one of the compressions {', '.join(PACKINGS)}", header.compression, remedy)
    kind = header.stored_type
    if not kind or (header.packing not in _WIDE and (kind[1] == "f" or kind[2] == "8")):
        raise HeaderError(
            path,
            f"binary section at byte {header.start}",
            f"integers of 8, 16 and 32 bits, or reals and 64-bit integers with {', '.join(_WIDE)}",
            f"'{header.element_type}', compression {header.packing}",
            "convert the file to 32-bit integers (cbflib: cif2cbf) and import it again",
        )


def decode(data: np.ndarray, header: BinaryHeader, out: np.ndarray, path: Path, verify: bool) -> None:
    """Decode the pixels of one section.

    Parameters
    ----------
    data : (n_bytes,) int8
        The whole file.
    header : BinaryHeader
    out : array of `header.n_elements` pixels of `header.out_type`, C contiguous
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
    flat = out.reshape(-1)
    n_pixels, n_bytes = _unpack(pixels, header, flat)
    # The canonical code ends with a stop code, which is not looked at.
    is_whole = n_bytes == header.size or header.packing == "CANONICAL"
    if n_pixels != header.n_elements or not is_whole:
        verify_checksum(pixels, header, path)
        sizes = " x ".join(str(n) for n in (header.fast, header.slow, header.layers)[: 2 + (header.layers > 1)])
        raise HeaderError(
            path,
            f"pixels from byte {header.start}",
            f"{header.n_elements} pixels ({sizes}) from {header.size} bytes",
            f"{n_pixels} pixels from {n_bytes} bytes: they are corrupt",
            LEAVE_OUT,
        )


def _unpack(pixels: np.ndarray, header: BinaryHeader, flat: np.ndarray) -> tuple[int, int]:
    """Fill `flat`; how many pixels came out of how many bytes."""
    kind = np.dtype(header.stored_type)
    if header.packing == "NONE":
        n = header.size // kind.itemsize
        if header.size == kind.itemsize * header.n_elements:
            # numpy reads from any address; the header before the pixels leaves them at odd ones.
            _convert(pixels.view(kind), flat)
        return n, header.size
    bits = 8 * kind.itemsize
    if header.packing == "BYTE_OFFSET":
        n, n_bytes, _ = decode_byte_offset(pixels, flat, 0, 0)
    elif header.packing == "NIBBLE_OFFSET":
        from .nibble_kernels import decode_nibble_offset

        n, n_bytes = decode_nibble_offset(pixels, flat, bits)
    elif header.packing == "CANONICAL":
        from .canonical_kernels import decode_canonical

        n, n_bytes = decode_canonical(pixels, flat, bits)
    else:
        from .packed_kernels import decode_packed

        version = 2 if header.packing == "PACKED_V2" else 1
        wide = flat if bits <= 32 and kind.kind != "f" else np.empty(flat.size, np.int32 if bits == 32 else np.int64)
        n, n_bytes = decode_packed(
            pixels, wide, header.fast, header.slow, version, bits, header.is_flat, header.is_correlated
        )
        if wide is not flat:
            _convert(wide.view(kind.newbyteorder("=")), flat)
            return n, n_bytes
    _complete_unsigned(flat, kind)
    return n, n_bytes


def _convert(values: np.ndarray, flat: np.ndarray) -> None:
    """Copy pixels of any type; integers beyond int32 become the largest or smallest that fits."""
    if values.dtype.kind != "f" and values.dtype.str[1:] in ("u4", "i8", "u8"):
        values = np.clip(values, 0 if values.dtype.kind == "u" else -_LARGEST - 1, _LARGEST)
    with np.errstate(over="ignore", invalid="ignore"):
        flat[:] = values


def _complete_unsigned(flat: np.ndarray, kind: np.dtype) -> None:
    """Turn unsigned pixels, which decode to signed numbers of their length, into int32 in place."""
    if kind.kind != "u":
        return
    if kind.itemsize < 4:
        np.bitwise_and(flat, (1 << 8 * kind.itemsize) - 1, out=flat)
    else:
        unsigned = flat.view(np.uint32)
        np.minimum(unsigned, np.uint32(_LARGEST), out=unsigned)


def decode_checked(pixels: np.ndarray, header: BinaryHeader, out: np.ndarray) -> bool:
    """Decode byte-offset pixels (n_bytes,) int8 whose checksum was compared; whether they are those of the header's image."""
    flat = out.reshape(-1)
    n_pixels, n_bytes = _unpack(pixels, header, flat)
    return bool(n_pixels == flat.size and n_bytes == header.size)


def decode_stream(
    stream: FileIO, buffer: np.ndarray, filled: int, header: BinaryHeader, out: np.ndarray, verify: bool = False
) -> bool:
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
    verify : bool
        Compare the checksum, when there is one, piece by piece too.

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
    digest = hashlib.md5(usedforsecurity=False) if verify and header.md5 else None
    unseen = header.size
    if digest is not None:
        digest.update(room[: min(left, unseen)])
        unseen -= min(left, unseen)
    while True:
        n = min(left, header.size - used)
        pixels, step, value = decode_byte_offset(buffer[:n], flat, pixels, value)
        used += step
        if pixels == flat.size or used + left - step >= header.size:
            _complete_unsigned(flat, np.dtype(header.stored_type))
            is_right = digest is None or base64.b64encode(digest.digest()).decode() == header.md5
            return bool(is_right and pixels == flat.size and used == header.size)
        left -= step
        if left:
            buffer[:left] = buffer[step : step + left].copy()
        got = stream.readinto(room[left:])
        if not got:
            return False
        if digest is not None:
            digest.update(room[left : left + min(got, unseen)])
            unseen -= min(got, unseen)
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
    found = base64.b64encode(hashlib.md5(pixels.data, usedforsecurity=False).digest()).decode()
    if found != header.md5:
        where = f"Content-MD5, the checksum of the {header.size} bytes of pixels from byte {header.start}"
        raise HeaderError(path, where, header.md5, f"{found}: they are corrupt", LEAVE_OUT + UNCHECKED)


def stored_chunk(data: np.ndarray, binary: BinaryHeader) -> Chunk | None:
    """The bytes of the pixels of a file (n,) uint8 as they are; None where more than a codec lies between them and one image."""
    if binary.layers > 1 or binary.is_big_endian or not binary.stored_type:
        return None
    codec = "none" if binary.packing == "NONE" else f"cbf_{binary.packing.lower()}"
    stored = data[binary.start : binary.start + binary.size].tobytes()
    return Chunk(stored, codec, (binary.slow, binary.fast), np.dtype(binary.stored_type))
