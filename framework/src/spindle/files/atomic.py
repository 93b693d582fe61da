"""Outputs that appear whole or not at all."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spindle.errors import UserError

_umask_lock = threading.Lock()  # the mask belongs to the process and can only be read by setting it
_unfinished: set[Path] = set()


@atexit.register
def remove_unfinished() -> None:
    """Remove temporary files of threads that an interrupt ends in the middle of their work."""
    for path in list(_unfinished):
        path.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an error.

    Raises
    ------
    UserError
        If the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}; choose another folder or file name") from error
    os.close(handle)
    temporary = Path(name)
    _unfinished.add(temporary)
    try:
        yield temporary
        # mkstemp makes private files; give the output the permissions that any new file would have.
        with _umask_lock:
            mask = os.umask(0)
            os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError):
            raise UserError(f"cannot write {target}: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)
