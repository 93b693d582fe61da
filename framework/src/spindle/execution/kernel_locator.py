"""Tells numba when a compiled kernel of a plugin is out of date: when any kernel of its package has changed.

numba imports this module by the name in NUMBA_CACHE_LOCATOR_CLASSES; nothing else does.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching

from .compile_cache import kernel_sources

_Base: Any = getattr(caching, "UserProvidedCacheLocator", None) or caching._UserProvidedCacheLocator


class PackageCacheLocator(_Base):  # type: ignore[misc]
    """Keeps kernels in NUMBA_CACHE_DIR with a stamp of all kernels of their package."""

    def get_source_stamp(self) -> Any:
        """Return what a kernel's validity depends on, beyond the cache folder."""
        return super().get_source_stamp(), package_stamp(package_of(Path(self._py_file)))


def package_of(file: Path) -> Path | None:
    """Return the folder of the top-level package that ``file`` is in, None for a module outside of packages."""
    found = None
    folder = file.parent
    while (folder / "__init__.py").exists():
        found, folder = folder, folder.parent
    return found


@cache
def package_stamp(package: Path | None) -> bytes:
    """Return a digest of the kernels of a package; the host's own are part of the cache folder's name."""
    if package is None or not package.name.startswith("spindle_"):
        return b""
    return kernel_sources(package)
