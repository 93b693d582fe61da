"""Opening input files: regular files only, of bounded size.

A pipe without a writer never ends, nor do some devices; what is no file that somebody wrote is refused before it is opened, with a
message that names it.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from spindle.errors import FileFormatError, HeaderError

__all__ = ["open_regular", "read_regular", "refuse_holes", "refuse_special", "unreadable"]

_REMEDY = "name a file"
MOST_HOLES = 2**26  # bytes; zeros of a real table may be left out of its file


def open_regular(path: str | os.PathLike[str], remedy: str = _REMEDY) -> FileIO:
    """Open a regular file for reading; nothing else is opened, so that a pipe without a writer does not block.

    Raises
    ------
    FileFormatError
        If it is a folder, a pipe, a socket or a device.
    OSError
        If it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise special(path, mode, remedy)
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], most: int, what: str = "a file", remedy: str = _REMEDY) -> bytes:
    """Content of a regular file.

    Parameters
    ----------
    path : path
    most : int
        Bytes that such a file has at most.
    what : str
        What such a file is, for messages.
    remedy : str
        What to do about another one.

    Raises
    ------
    FileFormatError
        If it is missing, cannot be read, is no regular file or larger.
    """
    try:
        with open_regular(path, remedy) as stream:
            size = os.fstat(stream.fileno()).st_size  # 0 for files of /proc, some of which never end
            if size > most:
                raise HeaderError(path, "size of the file", f"at most {most} bytes of {what}", f"{size}", remedy)
            parts = []
            while size > 0 and (part := stream.read(size)):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)
    except OSError as error:
        raise unreadable(path, error, remedy) from error


def refuse_special(path: str | os.PathLike[str], remedy: str = _REMEDY) -> None:
    """Raise FileFormatError for what cannot be opened or is no regular file, before a library opens it."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise unreadable(path, error, remedy) from error
    if not stat.S_ISREG(mode):
        raise special(path, mode, remedy)


def refuse_holes(path: str | os.PathLike[str], remedy: str = "write the file again") -> None:
    """Raise FileFormatError for a file with more than 64 MiB that nobody wrote, before it is read whole, or by a library.

    Such a file of some bytes may be terabytes long. Where the system does not tell holes, nothing is refused but what is no file.

    Raises
    ------
    FileFormatError
        So, or if it cannot be opened or is no regular file.
    """
    if not hasattr(os, "SEEK_HOLE"):
        refuse_special(path, remedy)
        return
    try:
        with open_regular(path, remedy) as stream:
            size = os.fstat(stream.fileno()).st_size
            missing = end = 0
            while end < size and (begin := os.lseek(stream.fileno(), end, os.SEEK_HOLE)) < size:
                end = _next_data(stream.fileno(), begin, size)
                missing += end - begin
                if missing > MOST_HOLES:
                    raise HeaderError(
                        path,
                        f"byte {begin}",
                        f"at most {MOST_HOLES} bytes that were never written",
                        f"{end - begin}",
                        remedy,
                    )
    except OSError as error:
        raise unreadable(path, error, remedy) from error


def _next_data(descriptor: int, begin: int, size: int) -> int:
    """Where a hole ends."""
    try:
        return os.lseek(descriptor, begin, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # it ends the file
            return size
        raise


def special(path: str | os.PathLike[str], mode: int, remedy: str = _REMEDY) -> HeaderError:
    """The error of what is no regular file."""
    kinds = (
        (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )  # fmt: skip
    kind = next((name for test, name in kinds if test(mode)), "something else")
    return HeaderError(Path(path), "kind of file", "a regular file", kind, remedy)


def unreadable(path: str | os.PathLike[str], error: OSError, remedy: str = _REMEDY) -> FileFormatError:
    """What keeps a file from being opened, in words."""
    path = Path(path)
    if isinstance(error, FileNotFoundError):
        return FileFormatError(f"{path}: no such file; {remedy}")
    if isinstance(error, PermissionError):
        permit = f"ask its owner, or: chmod u+r {path.name}"
        return HeaderError(path, "permissions", "a file that may be read", error.strerror, permit)
    if error.errno == errno.ELOOP:
        return HeaderError(path, "link", "one that leads to a file", "one that leads back to itself", remedy)
    return FileFormatError(f"{path}: cannot be read: {error.strerror or error}; {remedy}")
