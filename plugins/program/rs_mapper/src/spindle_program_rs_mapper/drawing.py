"""Pictures of layers and of sections, and the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle_lib_pages.figures import picture
from spindle_lib_pages.page import Page

__all__ = ["filled", "grey_levels", "page_of", "png_of", "png_writer", "section_figure"]

#: Levels of the pictures: what nothing was measured of, and the first of those of values.
EMPTY = np.array([226, 232, 240], np.uint8)
_WHITE_UP_TO, _BLACK_FROM = 0.5, 0.997


def grey_levels(means: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Grey values of means: white to their median, black from their 99.7th percentile on, equal steps of the root between.

    Parameters
    ----------
    means : (m, n) float
    seen : (m, n) bool
        Where something was measured.

    Returns
    -------
    (m, n, 3) uint8
    """
    values = means[seen]
    if not values.size:
        return np.broadcast_to(EMPTY, (*means.shape, 3)).copy()
    low, high = np.quantile(values, [_WHITE_UP_TO, _BLACK_FROM])
    if high <= low:
        high = max(float(values.max()), low + 1.0)
    level = np.sqrt(np.clip((np.where(seen, means, low) - low) / (high - low), 0.0, 1.0))
    grey = (255.0 * (1.0 - level)).astype(np.uint8)
    out = np.repeat(grey[:, :, None], 3, axis=2)
    out[~seen] = EMPTY
    return out


def filled(means: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose points without a pixel, between others, have the mean of their neighbours: images are farther apart than pixels.

    Parameters
    ----------
    means : (m, n) float
    seen : (m, n) bool

    Returns
    -------
    (m, n) float64, (m, n) bool
        Points with three neighbours of eight or more are filled.
    """
    values = np.pad(np.where(seen, means, 0.0), 1)
    there = np.pad(seen.astype(np.float64), 1)
    rows, columns = means.shape
    around = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    total = sum(values[i : i + rows, j : j + columns] for i, j in around)
    number = sum(there[i : i + rows, j : j + columns] for i, j in around)
    fill = ~seen & (number >= 3)
    return np.where(fill, total / np.maximum(number, 1.0), values[1:-1, 1:-1]), seen | fill


def png_of(levels: np.ndarray) -> bytes:
    """A picture (m, n, 3) uint8 as PNG, with its first row at the bottom."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(levels[::-1])).save(file, "png", optimize=True)
    return file.getvalue()


def png_writer(data: bytes) -> Callable[[Path], None]:
    """What writes bytes."""

    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


def section_figure(
    title: str, png: bytes, reach: float, axes: tuple[str, str], marks: np.ndarray | None = None
) -> dict[str, Any]:
    """A picture with axes in 1/angstrom for the page.

    Parameters
    ----------
    title : str
    png : bytes
    reach : float, 1/angstrom
        From the middle to an edge.
    axes : (str, str)
        Their names.
    marks : (m, 2) float64, 1/angstrom, optional
        Points of the lattice.
    """
    uri = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    points = [] if marks is None else [("lattice", "circle-open", "#d95f02", marks)]
    return picture(
        title, uri, 2 * reach, 2 * reach, points, extent=(-reach, reach, -reach, reach), digits=5, hidden=True,
        x_title=f"{axes[0]} (1/Å)", y_title=f"{axes[1]} (1/Å)",
    )  # fmt: skip


def page_of(title: str, about: str, layers: list[dict[str, Any]], sections: list[dict[str, Any]]) -> str:
    """The page with all pictures."""
    page = Page(title, about)
    if layers:
        page.section("Layers of the lattice")
        page.text(
            "Seen along the third axis; drag to zoom. A click on “lattice” in the legend marks the points of the lattice: what stands "
            "between them is another lattice, a larger cell, or diffuse scattering."
        )
        for figure in layers:
            page.plot(figure, wide=True)
    page.section("Sections of the volume through its middle")
    page.text("In the frame of the volume. Grey-blue is where no pixel was.")
    page.plots(sections)
    return page.html()
