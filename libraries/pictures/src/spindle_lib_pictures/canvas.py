"""One picture of all panels of a detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.errors import ModelError
from spindle.models import Beam, Detector, Panel

from .kernels import place_panel

__all__ = ["PROJECTIONS", "Canvas"]

PROJECTIONS = ("lab", "image")

# A picture of more pixels than this is a mistake in the geometry rather than a picture.
_LARGEST = 2**28


class Canvas:
    """Where the pixels of each panel go in one picture.

    Parameters
    ----------
    detector : Detector
    beam : Beam
    projection : "image" or "lab"
        "image" places panels as in the file: fast to the right, slow down, at their offsets in the raw image; panels
        whose offsets are unknown are laid out in rows. "lab" shows the detector from the sample, with the laboratory's y
        axis up, along the mean normal of the panels. A detector of one panel is always shown as in the file.
    padding : int, pixels
        Distance of panels that are laid out in rows.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the picture.
    placements : (n, 2, 3) float64, pixels of the picture
        Of each panel the steps of one pixel along fast and slow, and the outer corner of its first pixel, each as column and row:
        where pixel position (x, y) of the panel is seen is ``placements[panel] @ (x, y, 1)``.

    Raises
    ------
    ModelError
        If the picture would be absurdly large.
    """

    def __init__(self, detector: Detector, beam: Beam, projection: str = "image", padding: int = 4) -> None:
        if projection not in PROJECTIONS:
            raise ValueError(f"projection {projection!r}: choose one of {', '.join(PROJECTIONS)}")
        self._sizes = [(p.image_size[1], p.image_size[0]) for p in detector]
        self._source: np.ndarray | None = None
        self._corners: list[tuple[int, int]] = []
        if projection == "lab" and len(detector) > 1:
            self._project(detector, beam)
            return
        corners = _offsets(detector)
        self._corners = _rows_of_panels(self._sizes, padding) if corners is None else corners
        self.shape = _extent(self._corners, self._sizes)
        self.placements = np.array([[[1.0, 0.0, x], [0.0, 1.0, y]] for y, x in self._corners])

    def _project(self, detector: Detector, beam: Beam) -> None:
        right, down = _axes(detector, beam)
        pitch = float(min(p.pixel_size.min() for p in detector))
        frames = [_frame(p, right, down, pitch) for p in detector]
        corners = np.array(
            [
                o + x * f + y * s
                for (o, f, s), (h, w) in zip(frames, self._sizes, strict=True)
                for x in (0, w)
                for y in (0, h)
            ]
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        width, height = (int(v) for v in np.ceil(high - low - 1e-6))
        if width * height > _LARGEST:
            raise ModelError(
                f"the panels span {width} x {height} pixels: their positions make no picture; choose projection=image"
            )
        self.shape = (height, width)
        self.placements = np.array([np.column_stack([f, s, o - low]) for o, f, s in frames])
        self._source = np.full(self.shape, -1, np.int32)
        first = 0
        for (origin, fast, slow), (h, w) in zip(frames, self._sizes, strict=True):
            matrix = np.column_stack([fast, slow])
            # A panel that is seen from its edge has no pixels in the picture.
            if abs(np.linalg.det(matrix)) > 1e-3:
                place_panel(self._source, first, w, h, origin - low, matrix, np.linalg.inv(matrix))
            first += w * h

    def __call__(self, panels: Sequence[np.ndarray], fill: int = 0) -> np.ndarray:
        """The picture of one array per panel.

        Parameters
        ----------
        panels : sequence of (slow, fast) arrays of one dtype
        fill : number
            What is put where no panel is.

        Returns
        -------
        (rows, columns)
            The array itself for a single panel that fills the picture.
        """
        if self._source is not None:
            flat = np.concatenate([np.ravel(p) for p in panels] + [np.full(1, fill, panels[0].dtype)])
            return flat[self._source]  # -1 is the last: the fill
        if len(panels) == 1 and panels[0].shape == self.shape:
            return panels[0]
        out = np.full(self.shape, fill, panels[0].dtype)
        for (y, x), pixels in zip(self._corners, panels, strict=True):
            out[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        return out


def _offsets(detector: Detector) -> list[tuple[int, int]] | None:
    """Corner (row, column) of each panel in the raw image; None when the offsets let panels overlap."""
    corners = [(int(p.raw_image_offset[1]), int(p.raw_image_offset[0])) for p in detector]
    if len(corners) == 1:
        return [(0, 0)]
    low = (min(c[0] for c in corners), min(c[1] for c in corners))
    corners = [(y - low[0], x - low[1]) for y, x in corners]
    boxes = [(y, x, y + p.image_size[1], x + p.image_size[0]) for (y, x), p in zip(corners, detector, strict=True)]
    overlap = any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for k, a in enumerate(boxes) for b in boxes[:k]
    )
    return None if overlap else corners


def _rows_of_panels(sizes: list[tuple[int, int]], padding: int) -> list[tuple[int, int]]:
    """Corners of panels laid out in rows, in a picture that is about square."""
    height, width = (max(s[k] for s in sizes) + padding for k in (0, 1))
    columns = max(1, round(float(np.sqrt(len(sizes) * height / width))))
    return [(k // columns * height, k % columns * width) for k in range(len(sizes))]


def _extent(corners: list[tuple[int, int]], sizes: list[tuple[int, int]]) -> tuple[int, int]:
    rows, columns = (max(c[k] + s[k] for c, s in zip(corners, sizes, strict=True)) for k in (0, 1))
    if rows * columns > _LARGEST:
        raise ModelError(
            f"the offsets of the panels in the image span {columns} x {rows} pixels; import the images again, or choose "
            "projection=lab"
        )
    return rows, columns


def _axes(detector: Detector, beam: Beam) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to the right and down in the picture, laboratory frame."""
    normals = np.array([p.normal * np.sign(p.directed_distance) for p in detector])
    away = normals.mean(axis=0)
    # Panels all around the sample have no mean normal.
    if np.linalg.norm(away) < 0.2:
        away = beam.s0
    away = away / np.linalg.norm(away)
    up = np.array([0.0, 1.0, 0.0])
    up = up - (up @ away) * away
    if np.linalg.norm(up) < 0.1:
        up = -detector[0].slow_axis + (detector[0].slow_axis @ away) * away
    up = up / np.linalg.norm(up)
    return np.cross(away, up), -up


def _frame(
    panel: Panel, right: np.ndarray, down: np.ndarray, pitch: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin and the steps of one pixel along fast and slow, (2,) float64 each, in pixels of the picture."""
    axes = np.stack([right, down]) / pitch
    return (
        axes @ panel.origin,
        axes @ panel.fast_axis * panel.pixel_size[0],
        axes @ panel.slow_axis * panel.pixel_size[1],
    )
