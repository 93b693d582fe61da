"""Where compiled kernels are kept between runs.

numba stores what it compiles for a source file and forgets it when that file changes. A kernel that calls kernels of
other files must be forgotten as well when those change. So each set of versions, each kind of processor and each state
of the host's kernels has a folder of its own, and inside it the kernels of a package are valid for one state of all
kernels of it and of the libraries that it imports (`spindle.execution.kernel_locator`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spindle._cache_root import cache_root

from .trusted_folder import distrust

log = logging.getLogger(__name__)

LOCATORS = "spindle.execution.kernel_locator.PackageCacheLocator"
UNUSED_DAYS = 60

MARKER = "spindle-cache"
FILES = "files with digests"  # how `spindle.execution.kernel_locator` writes them

_SETTINGS = ".numba_config.yaml"
# How the source of a package names the libraries whose kernels its own may call.
_LIBRARY = re.compile(rb"\bspindle_lib_\w+")
_state: dict[str, Any] = {"prepared": False, "kept": True}


def _processor() -> str:
    named = [os.environ.get(name) for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")]
    if None not in named:  # kernels are for a kind of processor, whichever compiles them
        return f"{named[0]} {named[1]}"
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith(("flags", "Features")):
                    return line
    except OSError:
        pass
    return platform.processor()


def cache_key() -> str:
    """Return a name that changes with everything that compiled kernels depend on, but for plugins' own files."""
    from spindle import __version__

    digest = hashlib.sha256()
    parts = [FILES, sys.version, platform.machine(), _processor(), __version__]
    for name in ("numba", "numpy", "llvmlite"):
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            parts.append(f"{name} missing")
    if os.environ.get("NUMBA_BOUNDSCHECK"):  # other code, which numba does not tell apart
        parts.append("bounds checked")
    digest.update("\n".join(parts).encode())
    digest.update(kernel_sources(Path(__file__).parent.parent))
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sources:
    """What is to be known of the files of a package, or of a single file."""

    kernels: bytes  # digest of those that hold kernels
    libraries: frozenset[str]  # that they name


def sources_of(package: Path) -> Sources:
    """Read the files of a package, or a single file."""
    digest, named = hashlib.sha256(), set()
    is_file = package.is_file()
    for path in [package] if is_file else sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"njit" in text:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text)
        if b"spindle_lib_" in text:
            named.update(_LIBRARY.findall(text))
    return Sources(digest.digest(), frozenset(name.decode() for name in named))


def kernel_sources(package: Path) -> bytes:
    """Return a digest of all files of a package, or of a single file, that hold kernels."""
    return sources_of(package).kernels


def libraries_of(package: Path, look: Callable[[Path], Sources] = sources_of) -> dict[str, Path]:
    """Return name and folder of the libraries that a package imports, directly or through other libraries.

    Parameters
    ----------
    package : Path
        Folder of the package, or a file that is in none.
    look : callable
        `sources_of`, or one that remembers what it gave.
    """
    found: dict[str, Path] = {}
    to_read = [package]
    while to_read:
        for name in sorted(look(to_read.pop()).libraries):
            if name == package.name or name in found:
                continue
            spec = find_spec(name)
            if spec is not None and spec.origin is not None:
                found[name] = Path(spec.origin).parent
                to_read.append(found[name])
    return dict(sorted(found.items()))


def kernel_stamp(package: Path, look: Callable[[Path], Sources] = sources_of) -> bytes:
    """Return a digest of the kernels of a package and of those of the libraries that it imports; `look` as for `libraries_of`."""
    digest = hashlib.sha256(look(package).kernels)
    for name, folder in libraries_of(package, look).items():
        digest.update(name.encode() + b"\0" + look(folder).kernels)
    return digest.digest()


def remove_unused(folder: Path) -> None:
    """Remove the caches of other versions beside ``folder`` that nobody has used for two months."""
    limit = time.time() - UNUSED_DAYS * 86400
    for other in folder.parent.iterdir():
        marker = other / MARKER
        if other != folder and marker.exists() and marker.stat().st_mtime < limit:
            shutil.rmtree(other, ignore_errors=True)


def prepare_compile_cache() -> None:
    """Point numba to the cache, once per process and before numba is imported; say so when there is nothing in it yet.

    What is in the cache is executed. A folder that others can change is not used: this run gets a private one, which goes with it.
    """
    if _state["prepared"] or "numba" in sys.modules:
        return
    _state["prepared"] = True
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen == os.devnull:  # of the process that started this one
        return
    try:
        folder = _own_folder(Path(chosen) if chosen else cache_root() / "numba" / cache_key())
        is_new = not chosen and _mark(folder)
    except (OSError, RuntimeError, _Distrusted) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
        log.warning(
            "Warning: compiled kernels are not kept, since %s; they are compiled in each run. Next: set SPINDLE_CACHE_DIR to a "
            "folder of yours that nobody else may write to",
            reason,
        )
        folder, is_new = _temporary_folder(), False
        _state["kept"] = False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", LOCATORS)
    _ignore_settings_of_this_folder()
    if is_new:
        print(f"compiling kernels, this happens once (kept in {folder})", file=sys.stderr, flush=True)


def cache_folder() -> Path | None:
    """Return the folder in which kernels that this process compiles are kept, None when they go with it."""
    prepare_compile_cache()
    folder = os.environ.get("NUMBA_CACHE_DIR", os.devnull)
    return Path(folder) if _state["kept"] and folder != os.devnull else None


class _Distrusted(Exception):
    """Others could change what is in the cache."""


def _own_folder(wanted: Path) -> Path:
    """The cache folder, made when it is missing; raises `_Distrusted` or OSError when it cannot be used."""
    for folder in (*reversed(wanted.parents), wanted):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    folder = wanted.resolve()
    if reason := distrust(folder):
        raise _Distrusted(f"{reason}, and what is in the cache {wanted} is executed")
    return folder


def _mark(folder: Path) -> bool:
    """Note that a cache is in use; return whether it is new."""
    marker = folder / MARKER
    is_new = not marker.exists()
    try:
        marker.touch()
    except OSError:
        if is_new:
            raise
        return False  # one that the system's owner has filled for all: it is read only
    if is_new:
        remove_unused(folder)
    return is_new


def _temporary_folder() -> Path:
    """A private folder that is removed at the end of the process; where there is none, no folder at all."""
    import atexit
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="spindle-kernels-")
    except OSError:
        return Path(os.devnull)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder).resolve()


def _ignore_settings_of_this_folder() -> None:
    """Keep numba from a file of settings beside the images, which could name a library to load."""
    if not os.path.lexists(_SETTINGS):
        return
    here = os.getcwd()
    os.chdir(Path(__file__).parent)
    try:
        from numba.core import config
    finally:
        os.chdir(here)
    config._config_fname = os.devnull
