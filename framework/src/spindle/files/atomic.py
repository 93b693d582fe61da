"""Outputs that appear whole or not at all."""

from __future__ import annotations

import atexit
import errno
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spindle.errors import UserError

_umask_lock = threading.Lock()  # the mask belongs to the process and can only be read by setting it
_unfinished: set[Path] = set()


_fences: list[tuple[Path, ...]] = []


@contextmanager
def writing_only_below(*folders: Path) -> Iterator[None]:
    """Inside, nothing is written outside of some folders, whoever asks for it; links are followed before the check."""
    _fences.append(tuple(Path(os.path.realpath(f)) for f in folders))
    try:
        yield
    finally:
        _fences.pop()


def check_fence(path: Path) -> None:
    """Raise `UserError` when `path` may not be written; see `writing_only_below`."""
    if _fences and not any(Path(os.path.realpath(path)).is_relative_to(folder) for folder in _fences[-1]):
        raise UserError(
            f"{path} is outside of {', '.join(map(str, _fences[-1]))}, and what somebody else wrote down writes nowhere else"
        )


@atexit.register
def remove_unfinished() -> None:
    """Remove temporary files of threads that an interrupt ends in the middle of their work."""
    for path in list(_unfinished):
        path.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an error.

    A link is followed: the file it leads to is replaced and the link stays. Devices and pipes (``/dev/null``) are written to
    and never replaced. The new file is on the disk before it gets its name.

    Raises
    ------
    UserError
        If the folder does not exist or cannot be written, or `path` is a folder.
    """
    given = Path(path)
    if given in _unfinished:  # the temporary path of another output, which is replaced as a whole
        yield given
        return
    check_fence(given)
    through = is_device(given)
    target = given if through else Path(os.path.realpath(given))
    if target.is_dir():
        raise UserError(f"cannot write {given}: it is a folder; give a file name")
    folder = Path(tempfile.gettempdir()) if through else target.parent
    try:
        if not through:
            remove_stale(target)
        handle, name = tempfile.mkstemp(prefix=_prefix(target.name), suffix=target.suffix, dir=folder)
    except OSError as error:
        raise UserError(f"cannot write {given}: {error.strerror}; choose another folder or file name") from error
    os.close(handle)
    temporary = Path(name)
    _unfinished.add(temporary)
    try:
        yield temporary
        if through:
            with temporary.open("rb") as source, open(target, "ab", buffering=0) as device:
                shutil.copyfileobj(source, device)
        else:
            _put(temporary, target)
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError):
            raise UserError(f"cannot write {given}: {_reason(error.errno)}") from error
        raise
    except RuntimeError as error:  # of libraries that have lost the reason
        if str(temporary) not in str(error):
            raise
        raise UserError(
            f"cannot write {given}: {str(error).replace(str(temporary), 'the file')}; is the disk full, or a quota reached?"
        ) from error
    finally:
        with suppress(
            OSError
        ):  # the output is there, or the error that is being raised tells more; the next run removes it
            temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def _reason(number: int) -> str:
    """What the system says of an error, with what to do about a full disk; some libraries write a page about it."""
    remedies = {
        errno.ENOSPC: "; make room on the disk, or write to another one",
        getattr(errno, "EDQUOT", errno.ENOSPC): "; make room within your quota, or write to another disk",
        errno.EFBIG: "; files must not become so large here (ulimit -f, or the file system)",
    }
    return os.strerror(number) + remedies.get(number, "")


def _put(temporary: Path, target: Path) -> None:
    # mkstemp makes private files; give the output the permissions that any new file would have.
    with _umask_lock:
        mask = os.umask(0)
        os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(temporary, target)


def is_device(path: Path) -> bool:
    """Whether a path names something that is there and neither a regular file nor a folder, or a stream of this process."""
    if path.is_absolute() and path.parts[1:2] in (("dev",), ("proc",)):
        return not path.is_dir()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _prefix(name: str) -> str:
    """Beginning of the names of temporary files, which says whose they are."""
    return f".{name}.{_host()}-{os.getpid()}-"


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def remove_stale(target: Path) -> None:
    """Remove what processes of this machine that are no longer running have left of their attempts to write ``target``."""
    pattern = re.compile(re.escape(f".{target.name}.{_host()}-") + r"(\d+)-\w+" + re.escape(target.suffix))
    with os.scandir(target.parent) as entries:
        stale = [e.path for e in entries if (m := pattern.fullmatch(e.name)) and not is_running(int(m[1]))]
    for path in stale:
        Path(path).unlink(missing_ok=True)
