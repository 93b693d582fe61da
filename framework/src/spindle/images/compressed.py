"""Reading files that may be compressed: plain, gzip or bzip2, told apart by their first bytes."""

from __future__ import annotations

import bz2
import os
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from spindle import regular
from spindle.contracts.format import HEAD_SIZE
from spindle.errors import FileFormatError, HeaderError

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
CHUNK = 1 << 18
# A member of gzip is fed to its decoder by pieces that grow from this size: files of many small ones are not copied again
# and again.
SMALL_WINDOW = 1 << 14
# Bytes that a compressed image may have without its header being asked, and those that no single image has.
UNASKED, MOST, MOST_PLAIN = 1 << 26, 1 << 30, 1 << 32
# Stacks of images have been packed a hundred times at most; a thousand times is a file of zeros.
MOST_TIMES = 200
# Blocked gzip ends in one empty member.
MOST_EMPTY = 100
_NAME = "name an image file"
_NO_IMAGE = "this is no image: leave it out"

_buffers = threading.local()


def compression_of(start: bytes) -> str:
    """ "gzip", "bzip2" or "" for the first bytes of a file."""
    if start.startswith(GZIP_MAGIC):
        return "gzip"
    if start.startswith(BZIP2_MAGIC):
        return "bzip2"
    return ""


def refuse_special(path: Path | str) -> None:
    """Raise FileFormatError for what is there and no regular file: a folder, a pipe, a device, a link to itself."""
    regular.refuse_special(path, _NAME)


def open_regular(path: Path) -> FileIO:
    """Open a regular file that is not empty; nothing else is opened, so that a pipe without a writer does not block."""
    stream = regular.open_regular(path, _NAME)
    if os.fstat(stream.fileno()).st_size == 0:
        stream.close()
        raise _empty(path)  # files of /proc, too, some of which never end
    return stream


def is_compressed(path: Path) -> bool:
    """Whether a file begins like a compressed one. Raises FileFormatError when it cannot be opened."""
    try:
        with open_regular(path) as stream:
            return bool(compression_of(stream.read(4)))
    except OSError as error:
        raise _unreadable(path, error) from error


def read_head(path: Path | str, size: int = HEAD_SIZE) -> bytes:
    """First bytes of a file after decompression; fewer when the file is shorter.

    Raises
    ------
    FileFormatError
        If the file cannot be opened, is empty, or its compression is broken before `size` bytes came out.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            chunk = stream.read(size)
            kind = compression_of(chunk)
            if not kind:
                if not chunk:
                    raise _empty(path)
                return chunk
            inflater = zlib.decompressobj(31) if kind == "gzip" else bz2.BZ2Decompressor()
            parts, found = [], 0
            while found < size:
                if kind == "gzip":
                    part = inflater.decompress(inflater.unconsumed_tail + chunk, size - found)  # type: ignore[union-attr]
                else:
                    part = inflater.decompress(chunk, size - found)
                parts.append(part)
                found += len(part)
                if inflater.eof or found >= size:
                    break
                chunk = stream.read(CHUNK)
                if not chunk and not part:
                    break
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    head = b"".join(parts)
    if not head:
        remedy = "the file is cut short: copy it again"
        raise HeaderError(path, "end of the file", f"a whole {kind} file", "no content", remedy)
    return head


def read_all(path: Path | str, announced: Callable[[], int] | None = None) -> np.ndarray:
    """The whole file after decompression.

    The result is a view of a buffer of the calling thread: it holds until the same thread reads its next file.

    Parameters
    ----------
    path : path
    announced : callable, optional
        Bytes that the header announces; asked for only when a compressed file holds more than 64 MiB. No more is read.

    Returns
    -------
    (n_bytes,) int8, writable

    Raises
    ------
    FileFormatError
        If the file cannot be read, is empty, or is cut short or damaged inside its compression.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            if size == 0:
                raise _empty(path)
            if size > UNASKED and announced is not None and not compression_of(_start(stream)):
                size = min(size, max(announced(), UNASKED))
            if size > MOST_PLAIN:
                raise HeaderError(path, "size of the file", f"at most {MOST_PLAIN} bytes", f"{size}", _NO_IMAGE)
            buffer = thread_buffer("raw", size)
            view = buffer.data[:size]
            got = 0
            while got < size:
                n = stream.readinto(view[got:])
                if not n:
                    break
                got += n
        kind = compression_of(bytes(view[:4]))
        if not kind:
            return buffer[:got]
        return _unpack(view[:got], kind, path, announced)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _start(stream: FileIO) -> bytes:
    """The first bytes of a file that is at its beginning, and is again."""
    start = stream.read(4)
    stream.seek(0)
    return start


def _unpack(data: memoryview, kind: str, path: Path, announced: Callable[[], int] | None) -> np.ndarray:
    """Content of a compressed file, (n_bytes,) int8, as far as its header announces it."""
    limit, is_asked = UNASKED, False
    target = thread_buffer("content", min(4 * len(data), UNASKED))
    at = 0
    for piece in _pieces(data, kind, path):
        end = at + len(piece)
        if end > limit and not is_asked:
            is_asked = True
            if announced is None:
                limit = MOST
            else:
                limit = min(max(announced(), UNASKED), MOST)
        if end > limit:
            if announced is not None and limit < MOST:
                return target[:at]
            raise HeaderError(path, "compression", f"at most {MOST} bytes of one image", "more", _NO_IMAGE)
        if end > target.size:
            grown = np.empty(min(2 * end, MOST), dtype=np.int8)
            grown[:at] = target[:at]
            _buffers.content = target = grown
        target[at:end] = np.frombuffer(piece, dtype=np.int8)
        at = end
    return target[:at]


def map_file(path: Path | str) -> np.ndarray:
    """The bytes of a file, mapped into memory so that only what is looked at is read.

    A compressed file is unpacked once, into a temporary file without a name that goes with the array.

    Returns
    -------
    (n_bytes,) int8, read only

    Raises
    ------
    FileFormatError
        If the file cannot be read, is empty, or is cut short or damaged inside its compression.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            size = stream.seek(0, 2)
            if size == 0:
                raise _empty(path)
            mapped = np.memmap(stream, dtype=np.int8, mode="r")
            kind = compression_of(mapped[:4].tobytes())
            if not kind:
                return np.asarray(mapped)
            limit, found = max(MOST, MOST_TIMES * size), 0
            with tempfile.TemporaryFile() as unpacked:
                for piece in _pieces(mapped.data, kind, path):
                    found += len(piece)
                    if found > limit:
                        most = f"at most {MOST_TIMES} times the {size} bytes of the file, as images have"
                        raise HeaderError(path, "compression", most, "more", _NO_IMAGE)
                    unpacked.write(piece)
                if not found:
                    raise _empty(path)
                unpacked.flush()
                return np.asarray(np.memmap(unpacked, dtype=np.int8, mode="r"))
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _pieces(data: memoryview, kind: str, path: Path) -> Iterator[bytes]:
    """Content of all gzip members or bzip2 streams, one after the other, in pieces of at most `CHUNK` bytes.

    Checksums at the end of members are compared by the decoders.
    """
    at = n_empty = 0
    while at < len(data):
        if at and compression_of(bytes(data[at : at + 4])) != kind:
            return  # what follows the last member is no content
        inflater: Any = zlib.decompressobj(31) if kind == "gzip" else bz2.BZ2Decompressor()
        window, found = SMALL_WINDOW, 0
        while not inflater.eof:
            fed = data[at : at + window]
            if not fed:
                raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            at += len(fed)
            window = min(2 * window, CHUNK)
            piece = inflater.decompress(fed, CHUNK)
            while True:
                found += len(piece)
                if piece:
                    yield piece
                rest = inflater.unconsumed_tail if kind == "gzip" else b""
                if inflater.eof or (not rest and (kind == "gzip" or inflater.needs_input)):
                    break
                piece = inflater.decompress(rest, CHUNK)
        at -= len(inflater.unused_data)
        n_empty = 0 if found else n_empty + 1
        if n_empty > MOST_EMPTY:
            raise HeaderError(path, f"compression, byte {at}", "pixels", f"{n_empty} empty parts in a row", _NO_IMAGE)


def thread_buffer(name: str, size: int) -> np.ndarray:
    """Bytes of this thread, at least `size` of them, kept under `name` and grown when needed.

    Fresh memory for every file costs more than decoding it.

    Returns
    -------
    (n,) int8
    """
    buffer = getattr(_buffers, name, None)
    if buffer is None or buffer.size < size:
        buffer = np.empty(int(size * 1.1) + 64, dtype=np.int8)
        setattr(_buffers, name, buffer)
    return buffer


def _empty(path: Path) -> HeaderError:
    return HeaderError(path, "the file is empty", "an image", "0 bytes", "copy it again, or leave it out")


def _unreadable(path: Path, error: Exception) -> FileFormatError:
    """What went wrong, in words."""
    text = str(error)
    test = "copy it again (gzip -t and bzip2 -t test a file)"
    if isinstance(error, EOFError) or "end-of-stream" in text or "incomplete" in text:
        return HeaderError(
            path, "end of the file", "the end of the compression", None, f"the file is cut short: {test}"
        )
    if isinstance(error, OSError) and error.strerror:
        return regular.unreadable(path, error, _NAME)
    return HeaderError(path, "compression", "a whole file", f"damage ({text})", test)
