"""Where the user's cache is; apart, so that completion in a shell imports nothing else."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing is not imported where shells wait

if TYPE_CHECKING:
    from pathlib import Path


def cache_folder() -> str:
    """Return the user's cache folder: SPINDLE_CACHE_DIR, else the system's usual place; without pathlib, whose import takes 12 ms."""
    home = os.path.expanduser("~")
    chosen = os.environ.get("SPINDLE_CACHE_DIR")
    if chosen:
        folder = os.path.expanduser(chosen)
        if folder.startswith("~"):
            raise RuntimeError(f"SPINDLE_CACHE_DIR={chosen}: there is no such user")
        return folder
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches", "spindle")
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA", home), "spindle", "cache")
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "spindle")


def cache_root() -> Path:
    """Return the user's cache folder as a path."""
    from pathlib import Path

    return Path(cache_folder())
