"""Places on the detector: one rectangle for all panels, cut into the bins of maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.prediction import flat_detector
from spindle.table import ReflectionTable
from spindle_lib_pages.figures import heat_map

from .bins import counts_2d, means, means_2d, spread

__all__ = ["MapSettings", "Maps"]

#: Most bins of a map each way.
MOST_BINS = 120


@dataclass(frozen=True)
class MapSettings:
    """How maps of the detector are cut.

    Attributes
    ----------
    pixels_per_bin : int
        Side of a bin in pixels.
    grid : (int, int) or None
        Number of bins in x and y instead.
    largest_difference : float or None
        Differences of positions are coloured from minus to plus this many pixels; None follows from the values.
    """

    pixels_per_bin: int = 40
    grid: tuple[int, int] | None = None
    largest_difference: float | None = None


class Maps:
    """Maps of the detector for the rows of a table.

    Parameters
    ----------
    experiments : Experiments
        Several panels are put on the plane of the one that the beam hits; without experiments panels lie on top of each other.
    panel : (n,) int
    xy : (n, 2) float64, pixels
    settings : MapSettings
    """

    def __init__(self, experiments: Experiments, panel: np.ndarray, xy: np.ndarray, settings: MapSettings) -> None:
        detectors = experiments.unique("detector") if len(experiments) else []
        good = np.isfinite(xy).all(axis=1)
        self.is_overlaid = not detectors and bool(len(panel)) and int(panel.max()) > 0
        if len(detectors) >= 1 and len(detectors[0]) > 1:
            detector = detectors[0]
            places = np.full(xy.shape, np.nan)
            good &= np.asarray(panel, np.int64) < len(detector)
            flat = flat_detector(detector, experiments[0].beam.s0)
            places[good] = flat.positions(np.asarray(panel, np.int64)[good], xy[good])
            xy, size = places, np.array(flat.panel.image_size, np.float64)
        elif detectors:
            size = np.max([d[0].image_size for d in detectors], axis=0).astype(np.float64)
        else:
            size = np.ceil(xy[good].max(axis=0)) if good.any() else np.ones(2)
        size = np.clip(size, 1.0, 1e6)
        if settings.grid is not None:
            self.shape = (int(settings.grid[0]), int(settings.grid[1]))
        else:
            step = max(float(settings.pixels_per_bin), float(size.max()) / MOST_BINS)
            self.shape = (max(1, round(size[0] / step)), max(1, round(size[1] / step)))
        self.x = spread(0.0, float(size[0]), xy[:, 0], self.shape[0])
        self.y = spread(0.0, float(size[1]), xy[:, 1], self.shape[1])
        self._axes = [((np.arange(n) + 0.5) * s / n).round(1) for n, s in zip(self.shape, size, strict=True)]
        self._limit = settings.largest_difference

    def _draw(self, title: str, z: np.ndarray, unit: str, **options: Any) -> dict[str, Any]:
        figure = heat_map(
            title, "x (px)", "y (px)", z, *self._axes,
            yaxis={"autorange": "reversed", "scaleanchor": "x", "constrain": "domain"}, xaxis={"constrain": "domain"}, **options,
        )  # fmt: skip
        figure["data"][0]["colorbar"] = {"title": {"text": unit, "side": "right"}, "thickness": 14}
        return figure

    def counts(self, title: str, rows: np.ndarray | None = None, unit: str = "number") -> dict[str, Any]:
        """Map of the number of rows, of a choice (n,) bool."""
        x, y = (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])
        z = counts_2d(x, y, *self.shape)
        figure = self._draw(title, z, unit, low=0.0, high=float(np.nanmax(z)) if np.isfinite(z).any() else 1.0)
        if figure["data"][0]["zmax"] <= 5:
            figure["data"][0]["colorbar"]["dtick"] = 1
        return figure

    def means(
        self, title: str, values: np.ndarray, rows: np.ndarray | None = None, unit: str = "", low: float | None = None,
        high: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Map of means of values (n,)."""
        z = self._means(values, rows)
        return self._draw(title, z, unit, low=low, high=high)

    def differences(self, title: str, values: np.ndarray, rows: np.ndarray | None = None) -> dict[str, Any]:
        """Map of means of differences (n,) in pixels: white is none, blue and red are to either side."""
        z = self._means(values, rows)
        known = np.abs(z[np.isfinite(z)])
        limit = self._limit or (float(np.percentile(known, 98)) if len(known) else 1.0) or 1.0
        return self._draw(title, z, "px", low=-limit, high=limit, colours="RdBu")

    def _means(self, values: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        if rows is None:
            return means_2d(self.x, self.y, values, *self.shape)
        return means_2d(self.x[rows], self.y[rows], values[rows], *self.shape)

    def unevenness(self, values: np.ndarray, rows: np.ndarray, fewest: int = 20) -> float:
        """Root mean square over the bins of the mean of values (n,), bins of fewer rows left out; NaN without any."""
        nx, ny = self.shape
        places = np.where((self.x >= 0) & (self.y >= 0), self.y * nx + self.x, -1)[rows]
        counts, found = means(places, values[rows], nx * ny)
        use = counts >= fewest
        return float(np.sqrt(np.mean(found[use] ** 2))) if use.any() else float("nan")


def positions(table: ReflectionTable, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Panel (n,) int64 and position (n, 2) float64 of each row, from a column of positions."""
    panel = np.asarray(table["panel"]).astype(np.int64) if "panel" in table else np.zeros(len(table), np.int64)
    return panel, np.asarray(table.peek(name))[:, :2]
