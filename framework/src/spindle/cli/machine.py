"""What the machine does to a run: streams that are closed or full, no memory, no permission, no room."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Iterator

from spindle.errors import UserError, is_out_of_memory

TYPE_CHECKING = False  # typing is not imported where shells wait
if TYPE_CHECKING:
    from typing import Any

__all__ = ["check_streams", "message_of", "share_heaps", "silence", "without_side_tracebacks"]

# What a user can mend; other errors of the system are bugs of ours.
_REMEDIES = {
    errno.EACCES: "check the permissions of the file and its folder",
    errno.EPERM: "check the permissions of the file and its folder",
    errno.EROFS: "the file system can only be read; write somewhere else",
    errno.ENOSPC: "make room on the disk, or write to another one",
    errno.EDQUOT: "make room within your quota, or write to another disk",
    errno.EFBIG: "files must not become so large here (ulimit -f, or the file system); write somewhere else",
    errno.EMFILE: "let the process open more files (ulimit -n), or use fewer workers with nproc=",
    errno.ENFILE: "the machine has too many files open; end other programs",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "give the name of the file itself, not of links that lead to each other",
    errno.EIO: "the disk or the network that it lies on is failing; copy the file elsewhere",
    getattr(errno, "ESTALE", errno.EIO): "the file system was mounted anew; start again",
}
_MEMORY = (
    "use fewer workers (nproc=), give fewer images or reflections at a time, or take a machine with more memory; "
    "ulimit -v may set a limit"
)

# of glibc's malloc.h
_M_ARENA_MAX = -8
_CORES_OF_A_HEAP = 4


def share_heaps() -> None:
    """Let threads of this process take memory from few heaps, where the C library is glibc and MALLOC_ARENA_MAX says nothing else.

    Otherwise each thread has one of its own, up to eight for each core, and what one of them gave back is of no use to the others: with
    hundreds of data sets that takes as much memory again. There is a heap for four cores, so that few threads wait for each other.
    """
    if sys.platform != "linux" or "MALLOC_ARENA_MAX" in os.environ:
        return
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, max(len(os.sched_getaffinity(0)) // _CORES_OF_A_HEAP, 1))
    except (OSError, AttributeError):  # another C library
        return


def message_of(error: BaseException) -> str:
    """What a user reads of an error of the machine; empty for any other error."""
    if is_out_of_memory(error):
        what = str(error).rstrip(".") if isinstance(error, MemoryError) else ""
        if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno is None):
            what = f"a library could not be loaded ({str(error).partition('. ')[0]})"
        return f"out of memory{f': {what}' if what else ''}; {_MEMORY}"
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        name = error.filename2 or error.filename
        what = f"{os.fsdecode(name)}: {error.strerror}" if isinstance(name, str | bytes) else str(error.strerror)
        return f"{what}; {_REMEDIES[error.errno]}"
    return ""


@contextlib.contextmanager
def without_side_tracebacks() -> Iterator[None]:
    """Inside, generators that are thrown away and threads print no traceback when they find no memory: the run ends with one message."""
    of_generators, of_threads = sys.unraisablehook, threading.excepthook

    def is_memory(kind: Any) -> bool:
        return isinstance(kind, type) and issubclass(kind, MemoryError)

    def quiet_generators(found: Any) -> None:
        if not is_memory(found.exc_type):
            of_generators(found)

    def quiet_threads(found: Any) -> None:
        if not is_memory(found.exc_type):
            of_threads(found)

    sys.unraisablehook, threading.excepthook = quiet_generators, quiet_threads
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = of_generators, of_threads


def check_streams() -> None:
    """See to it that the standard streams are there, and print any file name.

    Where one was closed, the next file that is opened would take its place, and what is printed would go into that file.

    Raises
    ------
    UserError
        If standard output is closed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            is_unicode = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if is_unicode else "backslashreplace")
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        raise UserError("standard output is closed; send what is printed to a file, or away with > /dev/null")


def silence() -> None:
    """Let what is still printed go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
