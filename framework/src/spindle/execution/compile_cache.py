"""Where compiled kernels are kept between runs.

numba stores what it compiles for a source file and forgets it when that file changes. A kernel that calls kernels of
other files must be forgotten as well when those change. So each set of versions, each kind of processor and each state
of the host's kernels has a folder of its own, and inside it the kernels of a plugin are valid for one state of all
kernels of its package (`spindle.execution.kernel_locator`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

log = logging.getLogger(__name__)

LOCATORS = "spindle.execution.kernel_locator.PackageCacheLocator,InTreeCacheLocator,UserWideCacheLocator"
UNUSED_DAYS = 60
MARKER = "spindle-cache"

_state = {"cold": False}


def is_cold() -> bool:
    """Return whether this process began with an empty cache."""
    return _state["cold"]


def cache_root() -> Path:
    """Return the user's cache folder: SPINDLE_CACHE_DIR, else the system's usual place."""
    chosen = os.environ.get("SPINDLE_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "spindle"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "spindle" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spindle"


def _processor() -> str:
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
    parts = [sys.version, platform.machine(), _processor(), __version__]
    for name in ("numba", "numpy", "llvmlite"):
        try:
            parts.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            parts.append(f"{name} missing")
    digest.update("\n".join(parts).encode())
    digest.update(kernel_sources(Path(__file__).parent.parent))
    return digest.hexdigest()[:16]


def kernel_sources(package: Path) -> bytes:
    """Return a digest of all files of a package that hold kernels."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text = path.read_bytes()
        if b"njit" in text:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + text)
    return digest.digest()


def remove_unused(folder: Path) -> None:
    """Remove the caches of other versions beside ``folder`` that nobody has used for two months."""
    limit = time.time() - UNUSED_DAYS * 86400
    for other in folder.parent.iterdir():
        marker = other / MARKER
        if other != folder and marker.exists() and marker.stat().st_mtime < limit:
            shutil.rmtree(other, ignore_errors=True)


def prepare_compile_cache() -> None:
    """Point numba to the cache, once per process and before numba is imported; say so when there is nothing in it
    yet."""
    if os.environ.get("NUMBA_CACHE_DIR") or "numba" in sys.modules:
        return
    folder = cache_root() / "numba" / cache_key()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker = folder / MARKER
        is_new = not marker.exists()
        marker.touch()
        if is_new:
            remove_unused(folder)
    except OSError as error:
        log.warning(
            "cannot keep compiled kernels in %s (%s): they are compiled in each run. Next: set SPINDLE_CACHE_DIR",
            folder,
            error,
        )
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", LOCATORS)
    _state["cold"] = is_new
    if is_new:
        print(f"compiling kernels, this happens once (kept in {folder})", file=sys.stderr, flush=True)
