"""The page: template, style, shaders and script in one file, with the points as base64."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .points import Points

__all__ = ["page_writer"]

PACKAGE = "spindle_program_reciprocal_lattice_viewer"


def page_writer(meta: dict[str, Any], points: Points) -> Callable[[Path], None]:
    """Writer of the page.

    Parameters
    ----------
    meta : dict
        What the script reads beside the points; plain values.
    points : Points
    """

    def write(path: Path) -> None:
        parts = {
            "@TITLE@": html.escape(meta["title"]),
            "@STYLE@": _read("style.css"),
            "@META@": json.dumps(meta, allow_nan=False).replace("</", "<\\/"),
            "@SCRIPT@": "\n".join(_read(f"{name}.js") for name in ("shaders", "viewer", "panel")),
        }
        text = _read("page.html")
        before, after = text.split("@ARRAYS@")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_filled(before, parts))
            for name, values in _arrays(points).items():
                file.write(f'<script id="{name}" type="text/plain">')
                file.write(base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii"))
                file.write("</script>\n")
            file.write(_filled(after, parts))

    return write


def _read(name: str) -> str:
    return (files(PACKAGE) / "page" / name).read_text(encoding="utf-8")


def _filled(text: str, parts: dict[str, str]) -> str:
    """The text with its places filled; what is put in is not looked at again."""
    return re.sub("@[A-Z]+@", lambda found: parts[found[0]], text)


def _arrays(points: Points) -> dict[str, np.ndarray]:
    """What the script reads, little-endian; in random order, so that the first of the points are a sample of all."""
    order = np.random.default_rng(0).permutation(len(points.z))
    more = np.column_stack([points.z, points.lattice + 1, points.pixels, points.partiality])
    return {
        "position": points.position.astype("<f4")[order],
        "more": more.astype("<f4")[order],
        "status": points.status[order],
        "hkl": points.hkl.astype("<i2")[order],
    }
