"""Reading files that may be compressed: plain, gzip or bzip2, told apart by their first bytes."""

from __future__ import annotations

import bz2
import gzip
import shutil
import tempfile
import threading
import zlib
from pathlib import Path

import numpy as np

from spindle.contracts.format import HEAD_SIZE
from spindle.errors import FileFormatError, HeaderError

GZIP_MAGIC = b"\x1f\x8b"
BZIP2_MAGIC = b"BZh"
CHUNK = 1 << 18

_buffers = threading.local()


def compression_of(start: bytes) -> str:
    """ "gzip", "bzip2" or "" for the first bytes of a file."""
    if start.startswith(GZIP_MAGIC):
        return "gzip"
    if start.startswith(BZIP2_MAGIC):
        return "bzip2"
    return ""


def is_compressed(path: Path) -> bool:
    """Whether a file begins like a compressed one. Raises FileFormatError when it cannot be opened."""
    try:
        with path.open("rb", buffering=0) as stream:
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
        with path.open("rb", buffering=0) as stream:
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


def read_all(path: Path | str) -> np.ndarray:
    """The whole file after decompression.

    The result is a view of a buffer of the calling thread: it holds until the same thread reads its next file.

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
        with path.open("rb", buffering=0) as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            if size == 0:
                raise _empty(path)
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
        content = _inflate(view[:got], kind)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    target = thread_buffer("content", len(content))
    target[: len(content)] = np.frombuffer(content, dtype=np.int8)
    return target[: len(content)]


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
        with path.open("rb") as stream:
            start = stream.read(4)
            stream.seek(0)
            kind = compression_of(start)
            if start and not kind:
                return np.asarray(np.memmap(stream, dtype=np.int8, mode="r"))
            source = gzip.GzipFile(fileobj=stream) if kind == "gzip" else bz2.BZ2File(stream)
            with tempfile.TemporaryFile() as unpacked:
                if kind:
                    shutil.copyfileobj(source, unpacked, CHUNK)
                if not unpacked.tell():
                    raise _empty(path)
                unpacked.flush()
                return np.asarray(np.memmap(unpacked, dtype=np.int8, mode="r"))
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _inflate(data: memoryview, kind: str) -> bytes:
    """Content of all gzip members or bzip2 streams, one after the other."""
    if kind == "bzip2":
        return bz2.decompress(data)
    parts = []
    rest: bytes | memoryview = data
    while len(rest) and bytes(rest[:2]) == GZIP_MAGIC:
        inflater = zlib.decompressobj(31)
        parts.append(inflater.decompress(rest))
        if not inflater.eof:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        rest = inflater.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
    if isinstance(error, FileNotFoundError):
        return FileFormatError(f"{path}: no such file")
    if isinstance(error, PermissionError):
        remedy = f"ask its owner, or: chmod u+r {path.name}"
        return HeaderError(path, "permissions", "a file that may be read", error.strerror, remedy)
    if isinstance(error, OSError) and error.strerror:
        return FileFormatError(f"{path}: {error.strerror}")
    return HeaderError(path, "compression", "a whole file", f"damage ({text})", test)
