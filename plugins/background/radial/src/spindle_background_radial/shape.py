"""What was learned of the background: curves of resolution, and a smooth image of what they leave over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.geometry import polarisation_factor
from spindle.models import Beam, Detector
from spindle.table import Shoeboxes

__all__ = ["RadialShape", "bilinear", "pixel_coordinates"]

BLOCK = 1 << 18


def pixel_coordinates(
    detector: Detector, beam: Beam, panel: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """1/d and polarisation of points on a detector.

    Parameters
    ----------
    detector : Detector
    beam : Beam
    panel : (n,) int64
    xy : (n, 2) float64, px

    Returns
    -------
    s : (n,) float64, 1/angstrom
    polarisation : (n,) float64
    """
    s, polarisation = np.empty(len(xy)), np.empty(len(xy))
    s0 = beam.s0
    length = float(np.linalg.norm(s0))
    for start in range(0, len(xy), BLOCK):
        part = slice(start, start + BLOCK)
        lab = detector.lab_coordinate_of_pixel(panel[part], xy[part])
        s1 = lab * (length / np.linalg.norm(lab, axis=1))[:, None]
        s[part] = np.linalg.norm(s1 - s0, axis=1)
        polarisation[part] = polarisation_factor(s0, s1, beam.polarization_normal, beam.polarization_fraction)
    return s, np.maximum(polarisation, 1e-3)


@dataclass(frozen=True)
class RadialShape:
    """The background of an image at any pixel: (smooth(s) + sharp(s)) x polarisation x correction(x, y).

    Attributes
    ----------
    beam : Beam
    lowest, step : float, 1/angstrom
        Middle of the first bin, and width of the bins, in s = 1/d.
    smooth, sharp : (b,) float64, counts
        Two parts of the curve: what changes over many pixels, and rings on it.
    error : (b,) float64, counts
        Standard deviation of their sum.
    corrections : tuple of (m, n) float64
        Per panel, for the middles of cells of ``cell`` pixels: what is observed there over what the curves say.
    cell : int, px
    spread : float
        Standard deviation of the strength of rings relative to the smooth part.
    """

    beam: Beam
    lowest: float
    step: float
    smooth: np.ndarray
    sharp: np.ndarray
    error: np.ndarray
    corrections: tuple[np.ndarray, ...]
    cell: int
    spread: float

    def at(self, detector: Detector, panel: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smooth and sharp part, (n,) float64 counts, at points (n, 2) px of panels (n,)."""
        s, factor = pixel_coordinates(detector, self.beam, panel, xy)
        place = (s - self.lowest) / self.step
        bins = np.arange(len(self.smooth))
        for p in np.unique(panel):
            mine = panel == p
            factor[mine] *= bilinear(self.corrections[int(p)], xy[mine] / self.cell - 0.5)
        return np.interp(place, bins, self.smooth) * factor, np.interp(place, bins, self.sharp) * factor

    def in_boxes(self, detector: Detector, boxes: Shoeboxes) -> tuple[np.ndarray, np.ndarray]:
        """The two parts in the pixels of one image of each shoebox, shoebox after shoebox."""
        panel, xy = box_pixels(boxes)
        return self.at(detector, panel, xy)


def box_pixels(boxes: Shoeboxes) -> tuple[np.ndarray, np.ndarray]:
    """Panels (q,) and middles (q, 2) px of the pixels of one image of each shoebox, none of those without pixels."""
    nx, area, starts = box_areas(boxes)
    box = np.repeat(np.arange(len(boxes)), area)
    k = np.arange(len(box)) - starts[box]
    x, y = boxes.bbox[box, 0] + k % nx[box] + 0.5, boxes.bbox[box, 2] + k // nx[box] + 0.5
    return boxes.panel[box], np.stack([x, y], axis=1)


def box_areas(boxes: Shoeboxes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Widths, pixels of an image (0 without any), and where those of each shoebox begin, (n,) int64."""
    wide = boxes.bbox.astype(np.int64)
    nx = wide[:, 1] - wide[:, 0]
    area = np.where(np.diff(boxes.offsets) > 0, nx * (wide[:, 3] - wide[:, 2]), 0)
    return np.maximum(nx, 1), area, np.cumsum(area) - area


def bilinear(grid: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values of a grid (m, n) between its points, at (k, 2) positions x, y; constant beyond its edge."""
    m, n = grid.shape
    x, y = np.clip(at[:, 0], 0, n - 1), np.clip(at[:, 1], 0, m - 1)
    i, j = np.minimum(x.astype(np.int64), max(n - 2, 0)), np.minimum(y.astype(np.int64), max(m - 2, 0))
    fx, fy = x - i, y - j
    i1, j1 = np.minimum(i + 1, n - 1), np.minimum(j + 1, m - 1)
    return np.asarray(
        (1 - fy) * ((1 - fx) * grid[j, i] + fx * grid[j, i1]) + fy * ((1 - fx) * grid[j1, i] + fx * grid[j1, i1])
    )
