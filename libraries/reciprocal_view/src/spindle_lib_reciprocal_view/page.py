"""The page: template, style, shaders and scripts in one file, with the points as base64; or its parts, for a server."""

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

__all__ = ["SCRIPTS", "arrays_of", "body_of_page", "page_writer", "part_of_page"]

PACKAGE = "spindle_lib_reciprocal_view"
#: In the order in which they are read.
SCRIPTS = ("vectors", "shaders", "data", "viewer", "moving", "scenery", "tools", "panel")


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
            "@SCRIPT@": "\n".join(_read(f"{name}.js") for name in SCRIPTS),
        }
        text = _read("page.html")
        before, after = text.split("@ARRAYS@")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_filled(before, parts))
            for name, values in arrays_of(points).items():
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


def part_of_page(name: str) -> bytes | None:
    """A script or the style by its name; None where there is none of that name."""
    if name not in ("style.css", *(f"{script}.js" for script in SCRIPTS)):
        return None
    return (files(PACKAGE) / "page" / name).read_bytes()


def body_of_page(title: str) -> str:
    """What stands in the body of the page, without scripts and points."""
    text = _read("page.html")
    body = text[text.index("<body>") + len("<body>") : text.index('<script id="meta"')]
    return _filled(body, {"@TITLE@": html.escape(title)})


def arrays_of(points: Points) -> dict[str, np.ndarray]:
    """What the scripts read, little-endian; in random order, so that the first of the points are a sample of all.

    Returns
    -------
    dict
        ``position`` (n, 3) and ``lab`` (n, 3) float32; ``more`` (n, 4) float32: place along the scan, lattice + 1, pixels, partiality;
        ``extra`` (n, 2) float32: intensity, sweep; ``hkl`` (n, 3) int16; ``row`` (n,) uint32; ``status`` (n,) uint8.
    """
    order = np.random.default_rng(0).permutation(len(points.z))
    more = np.column_stack([points.z, points.lattice + 1, points.pixels, points.partiality])
    extra = np.column_stack([points.intensity, points.sweep])
    return {
        "position": points.position.astype("<f4")[order],
        "lab": points.lab.astype("<f4")[order],
        "more": more.astype("<f4")[order],
        "extra": extra.astype("<f4")[order],
        "row": order.astype("<u4"),
        "hkl": points.hkl.astype("<i2")[order],
        "status": points.status[order],
    }
