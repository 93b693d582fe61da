"""What holds a worker back: files outside of the allowed folders are not opened, and memory has an end."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["keep_to", "limit_memory"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def keep_to(folders: Iterable[str]) -> None:
    """From now on, let Python open files for reading only below some folders and those of the installation.

    Requests are checked before, file by file; this stands behind it for what lies beside an image (a header file that is a
    link, for example) and is opened by whatever format understands the image. It cannot be undone in this process.

    Parameters
    ----------
    folders : iterable of str
        Resolved.
    """
    import spindle

    ours = [sys.prefix, sys.base_prefix, str(Path(spindle.__file__).parents[1]), *(p for p in sys.path if p)]
    ours += [os.environ.get("NUMBA_CACHE_DIR", ""), "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys", "/dev"]
    roots = [os.path.realpath(f).rstrip("/") + "/" for f in (*folders, *filter(None, ours))]
    scratch = os.path.realpath(tempfile.gettempdir()) + "/"

    def check(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open":
            return
        path, _, flags = arguments
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a file that is open already
        real = os.path.realpath(os.fsdecode(path)) + "/"
        if real.startswith(tuple(roots)):
            return
        if real.startswith(scratch) and isinstance(flags, int) and flags & _WRITES:
            return
        raise PermissionError(
            errno.EACCES,
            "outside of the folders that this server reads; the server is told of others by allow=",
            os.fsdecode(path),
        )

    sys.addaudithook(check)


def limit_memory(limit: float | None) -> None:
    """Let this process take `limit` GB more than it has now; what asks for more gets a `MemoryError`."""
    if limit is None:
        return
    try:
        import resource
    except ImportError:  # not on POSIX
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as stream:
            taken = int(stream.read().split()[0]) * resource.getpagesize()
    except OSError:
        taken = 4 << 30
    most = taken + int(limit * 1e9)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
