"""The pixels of shoeboxes as the reflection file holds them: one record after the other."""

from __future__ import annotations

import numba
import numpy as np

from spindle.errors import FileFormatError
from spindle.table import Deferred, Shoeboxes

from .layout import Extent

BLOCK = 2**25  # bytes of the file that are read at a time
_HEADER = 29


@numba.njit(nogil=True, cache=True)
def _scan_shoeboxes(stream, base, total, first, position, version, starts, sizes, headers):
    """Find the records from ``first`` on whose headers lie in ``stream``, the bytes from ``base`` on of ``total``.

    Returns the number of records found so far and the place of the next; the number is -1 - i when the bytes end within record i,
    -1 - n - i when record i has a box without pixels or of more than can follow.
    """
    n = starts.shape[0]
    mask_bytes = 4 if version == 1 else 1
    for i in range(first, n):
        if position + 29 > total:
            return -1 - i, position
        if position + 29 > base + stream.shape[0]:
            return i, position
        for j in range(7):
            value = np.int64(0)
            for k in range(4):
                value |= np.int64(stream[position - base + 4 * j + k]) << (8 * k)
            if value >= 2147483648:
                value -= 4294967296
            headers[i, j] = value
        flag = stream[position - base + 28]
        position += 29
        starts[i] = position
        size = np.int64(0)
        if flag != 0:
            left = (total - position) // (8 + mask_bytes)  # pixels that can follow; extents below 2**32 each
            size = np.int64(1)
            for j in range(3):
                extent = np.int64(headers[i, 2 * j + 2]) - np.int64(headers[i, 2 * j + 1])
                if extent < 0 or (size > 0 and extent > left // size):
                    return -1 - n - i, position
                size *= extent
        sizes[i] = size
        position += size * (8 + mask_bytes)
    return n, position


@numba.njit(nogil=True, cache=True)
def _read_shoeboxes(stream, starts, offsets, version, data, mask, background):
    """Copy the pixels of all records; floats are copied byte by byte into uint8 views of the outputs."""
    mask_bytes = 4 if version == 1 else 1
    for i in range(starts.shape[0]):
        size = offsets[i + 1] - offsets[i]
        first = offsets[i]
        position = starts[i]
        for j in range(4 * size):
            data[4 * first + j] = stream[position + j]
        position += 4 * size
        for j in range(size):
            mask[first + j] = stream[position + j * mask_bytes]
        position += mask_bytes * size
        for j in range(4 * size):
            background[4 * first + j] = stream[position + j]


@numba.njit(nogil=True, cache=True)
def _write_shoeboxes(panel, bbox, offsets, data, mask, background, out):
    position = 0
    for i in range(panel.shape[0]):
        for j in range(7):
            value = np.int64(panel[i]) if j == 0 else np.int64(bbox[i, j - 1])
            for k in range(4):
                out[position] = (value >> (8 * k)) & 255
                position += 1
        size = offsets[i + 1] - offsets[i]
        out[position] = 1 if size > 0 else 0
        position += 1
        first = offsets[i]
        for j in range(4 * size):
            out[position + j] = data[4 * first + j]
        position += 4 * size
        for j in range(size):  # int32, little endian
            out[position + 4 * j] = mask[first + j]
            out[position + 4 * j + 1] = 0
            out[position + 4 * j + 2] = 0
            out[position + 4 * j + 3] = 0
        position += 4 * size
        for j in range(4 * size):
            out[position + j] = background[4 * first + j]
        position += 4 * size
    return position


class FileShoeboxes(Deferred):
    """Shoeboxes in their file: the boxes are known, the pixels are read when they are asked for.

    Parameters
    ----------
    payload : Extent
    n : int
    version : int
        Of the layout of the file.
    where : str
        File and column, for messages.

    Raises
    ------
    FileFormatError
        If the boxes and the bytes do not fit.
    """

    def __init__(self, payload: Extent, n: int, version: int, where: str) -> None:
        super().__init__(n)
        self.payload, self.version = payload, version
        total = len(payload)
        if n > total // _HEADER:
            raise FileFormatError(f"{where}: {total} bytes for {n} shoeboxes; the file is damaged or truncated")
        self.starts, self.sizes = np.empty(n, np.int64), np.empty(n, np.int64)
        headers = np.empty((n, 7), np.int32)
        found, position = 0, 0
        while 0 <= found < n:
            stream = np.empty(min(BLOCK, total - position), np.uint8)
            payload.source.read_into(payload.offset + position, stream)
            found, position = _scan_shoeboxes(
                stream, position, total, found, position, version, self.starts, self.sizes, headers
            )
        self.panel = headers[:, 0].astype(np.int64)
        self.bbox = np.ascontiguousarray(headers[:, 1:])
        if found < -n:
            row = -1 - n - found
            raise FileFormatError(
                f"{where}: row {row} has the impossible box {self.bbox[row].tolist()}; the file is damaged"
            )
        if found < 0:
            raise FileFormatError(f"{where}: the pixels end within row {-1 - found}; the file is damaged or truncated")
        if position != total:
            raise FileFormatError(
                f"{where}: {total - position} bytes are left over after {n} shoeboxes; the file is damaged"
            )

    def outline(self) -> Shoeboxes:
        """The shoeboxes without their pixels."""
        nothing = np.zeros(0, np.float32)
        offsets = np.zeros(len(self) + 1, np.int64)
        return Shoeboxes(self.panel, self.bbox, offsets, nothing, np.zeros(0, np.uint8), nothing)

    def read(self, start: int, stop: int) -> Shoeboxes:
        """The shoeboxes of some rows, read in blocks of the file."""
        sizes, starts = self.sizes[start:stop], self.starts[start:stop]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        m = int(offsets[-1])
        data, mask, background = np.empty(m, np.float32), np.empty(m, np.uint8), np.empty(m, np.float32)
        ends = starts + sizes * (12 if self.version == 1 else 9)
        first = 0
        while first < len(sizes):
            base = int(starts[first])
            last = max(int(np.searchsorted(ends, base + BLOCK, side="right")), first + 1)
            stream = np.empty(int(ends[last - 1]) - base, np.uint8)
            self.payload.source.read_into(self.payload.offset + base, stream)
            pixels = slice(int(offsets[first]), int(offsets[last]))
            _read_shoeboxes(
                stream, starts[first:last] - base, offsets[first : last + 1] - offsets[first], self.version,
                data[pixels].view(np.uint8), mask[pixels], background[pixels].view(np.uint8),
            )  # fmt: skip
            first = last
        return Shoeboxes(self.panel[start:stop].copy(), self.bbox[start:stop].copy(), offsets, data, mask, background)


def bytes_of_shoeboxes(shoeboxes: Shoeboxes) -> np.ndarray:
    """(m,) uint8, the records of shoeboxes in version 1 of the layout."""
    out = np.empty(_HEADER * len(shoeboxes) + 12 * len(shoeboxes.data), np.uint8)
    _write_shoeboxes(
        np.ascontiguousarray(shoeboxes.panel, dtype=np.int64), np.ascontiguousarray(shoeboxes.bbox, dtype=np.int32),
        shoeboxes.offsets, np.ascontiguousarray(shoeboxes.data, np.float32).view(np.uint8),
        np.ascontiguousarray(shoeboxes.mask), np.ascontiguousarray(shoeboxes.background, np.float32).view(np.uint8), out,
    )  # fmt: skip
    return out


def size_of_shoeboxes(n: int, pixels: int) -> int:
    """Bytes of n records with so many pixels together."""
    return _HEADER * n + 12 * pixels
