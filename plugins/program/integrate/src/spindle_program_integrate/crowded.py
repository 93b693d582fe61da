"""Backgrounds of spots around which hardly a pixel is free: found together with the spots that lie there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from spindle.contracts.background import BackgroundEstimate
from spindle.table import ReflectionTable, Shoeboxes

from .blocks import only_boxes
from .crowded_kernels import boxes_near, crowded_backgrounds, move_down, rescale
from .overlaps import Cells, spot_cells
from .slabs import MARGIN

__all__ = ["Surroundings", "among_neighbours"]

PIXELS_AT_ONCE = 1_000_000  # whose profiles are evaluated together
MOST_PIXELS = (
    24_000_000  # of profiles that are held; a spot with larger surroundings keeps the background that its plugin found
)


@dataclass(frozen=True)
class Surroundings:
    """All spots that may have photons in the shoeboxes of a block.

    Attributes
    ----------
    rows : (n,) int64
        Rows of the run's table.
    bbox : (n, 6) int32
    geometry : ReflectionTable
        What a profile model needs to know of the n spots.
    expected : (n,) float64, counts
        Mean intensity of reflections of such resolution; negative where unknown.
    """

    rows: np.ndarray
    bbox: np.ndarray
    geometry: ReflectionTable
    expected: np.ndarray

    @cached_property
    def box(self) -> np.ndarray:
        """(n, 6) int32: boxes with the images on which a spot still disturbs others."""
        return self.bbox + np.array([0, 0, 0, 0, -MARGIN, MARGIN], np.int32)

    @cached_property
    def cells(self) -> Cells:
        """Where they are."""
        return spot_cells(self.box.astype(np.float64), self.geometry["panel"].astype(np.int64))

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n,) int64: pixels of the boxes."""
        return np.asarray(np.prod(np.diff(self.box.astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0], axis=1))

    @cached_property
    def _in_order(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows, ascending, and the place of each."""
        order = np.argsort(self.rows, kind="stable")
        return self.rows[order], order

    def places(self, rows: np.ndarray) -> np.ndarray:
        """(m,) int64: where some rows (m,) are among the spots; -1 for those that are not there."""
        ascending, order = self._in_order
        at = np.minimum(np.searchsorted(ascending, rows), len(order) - 1)
        return np.where(ascending[at] == rows, order[at], -1)

    @cached_property
    def profiles(self) -> Profiles:
        """Those that were evaluated."""
        return Profiles(np.full(len(self.rows), -1))


@dataclass
class Profiles:
    """Profiles of spots in their boxes, each evaluated once while the spots around it are measured.

    Attributes
    ----------
    starts : (n,) int64
        Where that of each spot begins among the values; -1 where it is not held.
    values : (p,) float32
    end : int
        So many of them are profiles.
    """

    starts: np.ndarray
    values: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    end: int = 0

    def hold(self, wanted: np.ndarray, fitter: Any, around: Surroundings) -> None:
        """Evaluate those of some spots, ascending, that are not held; with all together too many, others are forgotten."""
        new = wanted[self.starts[wanted] < 0]
        total = np.cumsum(around.sizes[new])
        if not len(new):
            return
        if self.end + total[-1] > MOST_PIXELS:
            held = wanted[self.starts[wanted] >= 0]
            held = held[np.argsort(self.starts[held], kind="stable")]
            begins = self.starts[held]
            self.starts[:] = -1
            self.end = move_down(held, begins, around.sizes, self.values, self.starts)
        needed = self.end + int(total[-1])
        if needed > len(self.values):
            more = np.empty(min(max(2 * len(self.values), needed), max(MOST_PIXELS, needed)), np.float32)
            more[: self.end] = self.values[: self.end]
            self.values = more
        self.starts[new] = self.end + total - around.sizes[new]
        for some in np.split(new, np.flatnonzero(np.diff(total // PIXELS_AT_ONCE)) + 1):
            boxes = only_boxes(around.geometry["panel"][some], around.box[some])
            shares = fitter.expected_counts(around.geometry.select(some), boxes, np.ones(len(some)))
            self.values[self.end : self.end + len(shares)] = shares
            self.end += len(shares)


def among_neighbours(
    fitter: Any,
    crowded: np.ndarray,
    rows: np.ndarray,
    boxes: Shoeboxes,
    estimate: BackgroundEstimate,
    around: Surroundings,
) -> tuple[BackgroundEstimate, np.ndarray]:
    """Backgrounds with those of crowded spots found anew.

    Parameters
    ----------
    fitter : ProfileFitter
        With `expected_counts`.
    crowded : (m,) int64
        Spots of the block, ascending.
    rows : (n,) int64
        Rows of the run's table of all spots of the block.
    boxes : Shoeboxes
        Of the n spots.
    estimate : BackgroundEstimate
        What the plugin found: its shape under each spot is kept; where it has failed a constant takes its place.
    around : Surroundings

    Returns
    -------
    estimate : BackgroundEstimate
    mean_variance : (n,) float64, counts^2
        Variance of the mean background of each of those; -1 of all others.
    """
    success, mean = np.array(estimate.success, bool), np.array(estimate.mean, np.float64)
    crowded = crowded[~success[crowded] | (mean[crowded] > 0.0)]
    own = around.places(rows[crowded])
    cells, bbox = around.cells, boxes.bbox[crowded]
    pairs, near = boxes_near(
        bbox, boxes.panel[crowded], own, around.box, cells.members, cells.starts, cells.low, cells.size
    )  # fmt: skip
    factor, of_mean = np.full(len(crowded), -1.0), np.zeros(len(crowded))
    background = estimate.background.copy()
    for begin, end in pieces(pairs, around.sizes[near]):
        theirs, profiles = near[pairs[begin] : pairs[end]], around.profiles
        profiles.hold(np.unique(theirs), fitter, around)
        crowded_backgrounds(
            crowded[begin:end], boxes.bbox, boxes.offsets, boxes.data, boxes.mask, background, pairs[begin : end + 1] - pairs[begin],
            around.box[theirs], profiles.starts[theirs], profiles.values, around.expected[theirs], factor[begin:end], of_mean[begin:end],
        )  # fmt: skip
    rescale(crowded, factor, boxes.offsets, background)
    found = factor > 0.0
    chosen, variance = crowded[found], np.full(len(boxes), -1.0)
    mean[chosen] = np.where(success[chosen], mean[chosen], 1.0) * factor[found]
    variance[chosen], success[chosen] = of_mean[found], True
    return replace(estimate, background=background, mean=mean, success=success), variance


def pieces(pairs: np.ndarray, sizes: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of spots whose neighbours, of so many pixels each, have no more than `MOST_PIXELS`; spots with more are in none.

    Parameters
    ----------
    pairs : (n + 1,) int64
        Where the neighbours of each spot begin.
    sizes : (pairs[-1],) int64
    """
    pixels = np.concatenate([[0], np.cumsum(sizes)])[pairs]
    out, begin = [], 0
    while begin < len(pairs) - 1:
        end = int(np.searchsorted(pixels, pixels[begin] + MOST_PIXELS, "right")) - 1
        if end > begin:
            out.append((begin, end))
        begin = max(end, begin + 1)
    return out
