"""The bytes of a file, taken piece by piece when they are needed."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import FileFormatError

# Smaller files are read at once, and no more files than these are held open.
LARGE = 2**22
MOST_OPEN = 64

_open_files: set[int] = set()
_lock = threading.Lock()


class Source:
    """The bytes of a file: in memory, or in the open file, which stays what it was when another takes its name.

    Bytes are copied to where they are needed, not mapped: a mapped file ends the process with a signal when somebody shortens it,
    and numbers in it lie at addresses that arrays do not have.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        The bytes when they are in memory already, such as those of a compressed file.
    """

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        self._content = content
        self._handle = -1
        if content is not None:
            self.size = len(content)
            return
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
        try:
            self._found = _state(handle)
            self.size = os.fstat(handle).st_size
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        with _lock:
            _open_files.add(handle)
        weakref.finalize(self, _close, handle)

    @property
    def in_memory(self) -> bool:
        """Whether the bytes are in memory already."""
        return self._content is not None

    def read(self, offset: int, n: int) -> bytes:
        """``n`` bytes, fewer where the file ends before them."""
        if self._content is not None:
            return self._content[offset : offset + n]
        buffer = np.empty(max(min(n, self.size - offset), 0), np.uint8)
        self.read_into(offset, buffer)
        return buffer.tobytes()

    def read_into(self, offset: int, out: np.ndarray) -> None:
        """Fill an array (C order) with the bytes that start at ``offset``.

        Raises
        ------
        FileFormatError
            If the file has been changed since it was opened, or cannot be read any more.
        """
        if not out.size:
            return
        view = out.reshape(-1).view(np.uint8).data
        if self._content is not None:
            view[:] = self._content[offset : offset + len(view)]
            return
        done = 0
        try:
            while done < len(view):
                count = self._read_some(view[done : done + 2**30], offset + done)
                if count == 0:
                    break
                done += count
        except OSError as error:
            raise FileFormatError(f"{self.path}: cannot be read: {error.strerror}") from error
        if done < len(view) or _state(self._handle) != self._found:
            raise FileFormatError(f"{self.path}: was changed while it was read; run this again when it is complete")

    def _read_some(self, view: memoryview, offset: int) -> int:
        if os.name == "posix":  # takes no turns, nor moves a place that other processes share
            return os.preadv(self._handle, [view], offset)
        with _lock:
            os.lseek(self._handle, offset, os.SEEK_SET)
            data = os.read(self._handle, len(view))
        view[: len(data)] = data
        return len(data)


def _state(handle: int) -> tuple[int, int]:
    found = os.fstat(handle)
    return found.st_size, found.st_mtime_ns


def _close(handle: int) -> None:
    with _lock:
        _open_files.discard(handle)
    os.close(handle)


def may_stay_open(path: Path) -> bool:
    """Whether a file is large enough, and few enough are open, for its columns to stay in it."""
    return path.stat().st_size >= LARGE and len(_open_files) < MOST_OPEN


class Stream:
    """A source as a file object for parsers, from some place on."""

    def __init__(self, source: Source, offset: int) -> None:
        self.source, self.offset = source, offset

    def read(self, n: int = -1) -> Any:
        """The next ``n`` bytes."""
        data = self.source.read(self.offset, n if n >= 0 else self.source.size - self.offset)
        self.offset += len(data)
        return data
