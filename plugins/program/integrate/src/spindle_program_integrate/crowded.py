"""Backgrounds of spots around which hardly a pixel is free: found together with the spots that lie there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from spindle.contracts.background import BackgroundEstimate
from spindle.table import ReflectionTable, Shoeboxes

from .crowded_kernels import boxes_near, crowded_backgrounds, rescale
from .overlaps import Cells, spot_cells
from .slabs import MARGIN

__all__ = ["Surroundings", "among_neighbours"]

PAIRS_AT_ONCE = (
    2048  # a spot with more neighbours keeps the background that its plugin found: time and memory have limits
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
        """(n, 6) float64: boxes with the images on which a spot still disturbs others."""
        return self.bbox + np.array([0.0, 0.0, 0.0, 0.0, -MARGIN, MARGIN])

    @cached_property
    def cells(self) -> Cells:
        """Where they are."""
        return spot_cells(self.box, self.geometry["panel"].astype(np.int64))


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
    order = np.argsort(around.rows, kind="stable")
    places = order[np.minimum(np.searchsorted(around.rows[order], rows[crowded]), len(order) - 1)]
    own = np.where(around.rows[places] == rows[crowded], places, -1)
    cells, bbox = around.cells, boxes.bbox[crowded]
    pairs, near = boxes_near(
        bbox.astype(np.float64), boxes.panel[crowded], own, around.box, cells.members, cells.starts, cells.low, cells.size
    )  # fmt: skip
    factor, of_mean = np.full(len(crowded), -1.0), np.zeros(len(crowded))
    background = estimate.background.copy()
    begin = 0
    while begin < len(crowded):
        end = max(int(np.searchsorted(pairs, pairs[begin] + PAIRS_AT_ONCE, "right")) - 1, begin + 1)
        if pairs[end] - pairs[begin] <= PAIRS_AT_ONCE:
            theirs = near[pairs[begin] : pairs[end]]
            patch = common_boxes(
                np.repeat(bbox[begin:end], np.diff(pairs[begin : end + 1]), axis=0), around.box[theirs]
            )
            patches = Shoeboxes.empty(around.geometry["panel"][theirs], patch)
            shares = fitter.expected_counts(around.geometry.select(theirs), patches, np.ones(len(theirs)))
            crowded_backgrounds(
                crowded[begin:end], boxes.bbox, boxes.offsets, boxes.data, boxes.mask, background, pairs[begin : end + 1] - pairs[begin],
                patch, patches.offsets, shares, around.expected[theirs], factor[begin:end], of_mean[begin:end],
            )  # fmt: skip
        begin = end
    rescale(crowded, factor, boxes.offsets, background)
    found = factor > 0.0
    chosen, variance = crowded[found], np.full(len(boxes), -1.0)
    mean[chosen] = np.where(success[chosen], mean[chosen], 1.0) * factor[found]
    variance[chosen], success[chosen] = of_mean[found], True
    return replace(estimate, background=background, mean=mean, success=success), variance


def common_boxes(bbox: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(k, 6) int32: what boxes (k, 6) have in common."""
    common = np.empty((len(bbox), 6), np.int32)
    common[:, ::2] = np.maximum(bbox[:, ::2], box[:, ::2])
    common[:, 1::2] = np.minimum(bbox[:, 1::2], box[:, 1::2])
    return common
