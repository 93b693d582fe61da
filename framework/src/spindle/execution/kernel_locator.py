"""Tells numba when a compiled kernel is out of date: when any kernel of its package, or of a library that this imports, has changed.

Files of the cache carry a digest: a damaged one is removed and the kernel compiled again. A cache that cannot be written, or is on a
full disk, costs time and nothing else. numba imports this module by the name in NUMBA_CACHE_LOCATOR_CLASSES; nothing else does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from .compile_cache import kernel_stamp, sources_of

# The version of numba whose loading of kernels `light_numba` knows; any other loads them as it does by itself.
LIGHTENED = (0, 68)
# What a whole file raises whose content names what is not installed any more.
_OUTDATED = (AttributeError, ImportError, EOFError, caching.pickle.UnpicklingError)

_Base: Any = getattr(caching, "UserProvidedCacheLocator", None) or caching._UserProvidedCacheLocator


class PackageCacheLocator(_Base):  # type: ignore[misc]
    """Keeps kernels in NUMBA_CACHE_DIR with a stamp of all kernels that they may call."""

    def get_source_stamp(self) -> Any:
        """Return what a kernel's validity depends on, beyond the cache folder."""
        file = Path(self._py_file)
        return super().get_source_stamp(), package_stamp(package_of(file) or file)

    def ensure_cache_path(self) -> None:
        """Make the folder; without it kernels are compiled in each run."""
        with contextlib.suppress(OSError):
            super().ensure_cache_path()


class CheckedCacheFile(caching.IndexDataCacheFile):  # type: ignore[misc]
    """numba's index and data files, each with its digest in front."""

    def load(self, key: Any) -> Any:
        """Return what is kept for a signature, or None."""
        try:
            return super().load(key)
        except (OSError, *_OUTDATED):
            return None

    def save(self, key: Any, data: Any) -> None:
        """Keep what was compiled for a signature, if that can be done."""
        with contextlib.suppress(OSError):
            super().save(key, data)

    def _load_index(self) -> Any:
        content = _checked(self._index_path)
        if content is None:
            return {}
        version, stamp, overloads = caching.pickle.loads(content)
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: Any) -> None:
        with self._open_for_write(self._index_path) as stream:
            stream.write(_signed(self._dump((self._version, self._source_stamp, overloads))))

    def _load_data(self, name: str) -> Any:
        content = _checked(self._data_path(name))
        return None if content is None else caching.pickle.loads(content)

    def _save_data(self, name: str, data: Any) -> None:
        with self._open_for_write(self._data_path(name)) as stream:
            stream.write(_signed(self._dump(data)))


caching.IndexDataCacheFile = CheckedCacheFile
if numba.version_info.short == LIGHTENED:
    from . import light_numba

    light_numba.install()


def _signed(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _checked(path: str) -> bytes | None:
    """What was written to a file; None where there is none, or one that is damaged or not ours, which is removed."""
    try:
        with open(path, "rb") as stream:
            found = stream.read()
            owner = os.fstat(stream.fileno()).st_uid
    except OSError:
        return None
    is_ours = owner in (0, os.getuid(), os.stat("/").st_uid) if os.name == "posix" else True
    if is_ours and hashlib.sha256(found[32:]).digest() == found[:32]:
        return found[32:]
    with contextlib.suppress(OSError):
        os.unlink(path)
    return None


def package_of(file: Path) -> Path | None:
    """Return the folder of the top-level package that ``file`` is in, None for a module outside of packages."""
    found = None
    folder = file.parent
    while (folder / "__init__.py").exists():
        found, folder = folder, folder.parent
    return found


@cache
def package_stamp(package: Path) -> bytes:
    """Return a digest of the kernels that those of a package, or of a single file, may call; the host's own are part of the cache
    folder's name.
    """
    return b"" if package.name == "spindle" else kernel_stamp(package, _look)


_look = cache(sources_of)  # libraries are read once for all packages that use them
