"""The observations of a fit, their scale factors and how these change with the parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layout import Layout
from .pieces import fill_scales, pieces_of
from .sums import Map

__all__ = ["Derivatives", "FitData", "gather"]


@dataclass(slots=True)
class FitData:
    """Observations used for the fit, sorted by unique reflection.

    Attributes
    ----------
    offsets : (m + 1,) int64
    intensity, weight : (n,) float64
    places : list of (n_i,) int32
        For each data set, where its observations are in the arrays above, ascending.
    rows : list of (n_i,) int32
        For each data set, the rows of its scaling model's arrays, parallel to `places`.
    anchored : bool
        Scale factors are told by more than equivalents (a reference, data sets that stay as they are), so that nothing about them is
        free. What stands at no place of any data set is intensities of a reference.
    shares : (n,) float64 or None
        How much of what is known of each reflection's intensity an observation tells, in the company of a reference that has errors:
        2 sum shares ln g is the part of the likelihood that keeps scale factors from growing until all intensities vanish.
    """

    offsets: np.ndarray
    intensity: np.ndarray
    weight: np.ndarray
    places: list[np.ndarray]
    rows: list[np.ndarray]
    anchored: bool = False
    shares: np.ndarray | None = None

    @property
    def sizes(self) -> list[int]:
        """Observations of each data set."""
        return [len(p) for p in self.places]


def gather(layout: Layout, parameters: np.ndarray, data: FitData, run: Map = map) -> np.ndarray:
    """(n,) float64: inverse scale factors of the observations of a fit, to whose rows the layout is restricted."""
    g = np.ones(len(data.intensity))
    fill_scales(layout, parameters, lambda rows: data.places[rows[0]][rows[1] : rows[2]], data.sizes, g, run)
    return g


@dataclass(frozen=True, slots=True)
class Derivatives:
    """Derivatives of ln g of the observations of a fit with respect to the parameters x."""

    layout: Layout
    data: FitData
    x: np.ndarray

    def __call__(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the observations ``first`` to ``last`` (not included): as those of `Layout.slopes`."""
        if len(self.data.places) == 1 and len(self.data.places[0]) == len(self.data.intensity):
            return self.layout.slopes(0, self.x, np.arange(first, last))
        columns = np.full((last - first, self.layout.width), -1, dtype=np.int32)
        slopes = np.zeros((last - first, self.layout.width))
        for number, places in enumerate(self.data.places):
            low, high = (int(i) for i in np.searchsorted(places, (first, last)))
            if high > low:
                here = places[low:high] - first
                columns[here], slopes[here] = self.layout.slopes(number, self.x, np.arange(low, high))
        return columns, slopes

    def all(self, run: Map) -> tuple[np.ndarray, np.ndarray]:
        """Of all observations, in pieces of data sets."""
        columns = np.full((len(self.data.intensity), self.layout.width), -1, dtype=np.int32)
        slopes = np.zeros((len(self.data.intensity), self.layout.width))

        def fill(piece: list[tuple[int, int, int]]) -> None:
            for number, first, last in piece:
                here = self.data.places[number][first:last]
                columns[here], slopes[here] = self.layout.slopes(number, self.x, np.arange(first, last))

        for _ in run(fill, pieces_of(self.data.sizes)):
            pass
        return columns, slopes
