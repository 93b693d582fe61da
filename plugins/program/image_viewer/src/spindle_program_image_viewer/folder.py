"""What a folder holds that the viewer can open."""

from __future__ import annotations

import os
import re
from typing import Any

from spindle_lib_serving.allowed import AllowedFolders
from spindle_lib_serving.refusal import Refusal

__all__ = ["listing_of"]

_MOST = 2000
_NUMBER = re.compile(r"^(?P<stem>.*?)(?P<number>[0-9]{2,9})(?P<end>[^0-9]*)$")
# What surely is no image; anything else may be one, which its format tells when it is opened.
_OTHERS = (
    ".log",
    ".txt",
    ".json",
    ".html",
    ".py",
    ".md",
    ".csv",
    ".sh",
    ".toml",
    ".phil",
    ".npz",
    ".mtz",
    ".pdf",
    ".png",
)


def listing_of(path: str, allowed: AllowedFolders) -> dict[str, Any]:
    """Folders, series of images and experiment files in a folder.

    Returns
    -------
    dict
        ``path``, ``above`` (None where that may not be read), ``folders`` (names), ``entries``: each with ``name`` (numbers
        as ``####``), ``kind``, ``n`` files, and the ``paths`` to open.
    """
    allowed.check(path, "folder")
    try:
        with os.scandir(path) as scan:
            found = sorted((e.name, e.is_dir()) for e in scan if not e.name.startswith("."))
    except OSError as error:
        raise Refusal(404, f"folder {path}: {error.strerror or error}") from error
    folders = [name for name, is_folder in found if is_folder and os.path.join(path, name) in allowed]
    series: dict[str, list[str]] = {}
    for name, is_folder in found:
        if is_folder or name.lower().endswith(_OTHERS):
            continue
        match = _NUMBER.match(name)
        key = name
        if match is not None and not name.endswith((".expt", ".refl")):
            key = f"{match['stem']}{'#' * len(match['number'])}{match['end']}"
        series.setdefault(key, []).append(name)
    entries = []
    for key, names in list(series.items())[:_MOST]:
        kind = "experiments" if key.endswith(".expt") else "reflections" if key.endswith(".refl") else "images"
        shown = key if len(names) > 1 else names[0]
        entries.append({
            "name": shown, "kind": kind, "n": len(names), "paths": [os.path.join(path, n) for n in names]
        })  # fmt: skip
    above = os.path.dirname(path.rstrip("/"))
    return {
        "path": path,
        "above": above if above and above in allowed else None,
        "folders": folders[:_MOST],
        "entries": entries,
    }
