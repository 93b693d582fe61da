"""What is done with a block of filled shoeboxes: background, centroids, sums, profile fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.images import Correction, correct_shoeboxes
from spindle.models import Detector
from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes

from .kernels import free_crowded, sum_pixels
from .noise import counts_photons, lifted, noise_beyond_counts
from .stream import Block

LEAST_BACKGROUND = 20


@dataclass
class Measured:
    """Results of a block: rows of the table, their columns, their flags to set, and their shoeboxes where wanted.

    ``noise`` (m,) float64 is the variance of their pixels beyond that of counts, see `noise_beyond_counts`.
    """

    rows: np.ndarray
    columns: dict[str, np.ndarray]
    flags: np.ndarray
    background_variance: np.ndarray
    noise: np.ndarray
    shoeboxes: Shoeboxes | None = None


@dataclass(frozen=True)
class Work:
    """A block and what is known of its spots.

    Attributes
    ----------
    block : Block
    table : ReflectionTable
        Its rows of the table.
    expected : (m,) float64 or None, counts
        Mean intensity of reflections of such resolution.
    """

    block: Block
    table: ReflectionTable
    expected: np.ndarray | None

    def __repr__(self) -> str:
        return f"{len(self.block.rows)} spots on images {self.block.first + 1} to {self.block.last}"


@dataclass(frozen=True)
class Measure:
    """Measures blocks; may be called in several threads, or processes, at once.

    Attributes
    ----------
    detector : Detector
    corrections : list of Correction
        From raw values to counts, of each panel.
    background, centroid : Handle
        Plugins.
    gain : float
        Counts per photon in the variances.
    threshold : float
        Least part of the foreground that must be valid.
    fitter : ProfileFitter or None
        For profile fits.
    keep : bool
        Return the shoeboxes too.
    """

    detector: Detector
    corrections: list[Correction]
    background: Any
    centroid: Any
    gain: float
    threshold: float
    fitter: Any = None
    keep: bool = False

    def __call__(self, work: Work) -> Measured:
        """Background, sums, centroids and, with a fitter, profile fits of a block."""
        block, fitter = work.block, self.fitter
        boxes = block.shoeboxes
        n = len(boxes)
        correct_shoeboxes(self.corrections, block.panel, boxes.bbox, boxes.offsets, boxes.data)
        neighbours = boxes.background if block.model is not None else None
        free_crowded(boxes.offsets, boxes.mask, LEAST_BACKGROUND)
        estimate = self.background.estimate_background(shoeboxes=boxes, detector=self.detector)
        boxes.background = np.ascontiguousarray(estimate.background, dtype=np.float32)
        boxes.mask[estimate.used] |= np.uint8(MaskCode.BACKGROUND_USED)
        noise = noise_beyond_counts(boxes, counts_photons(self.detector, self.corrections))
        if neighbours is not None:
            # what the other spots put under this one is known by now: it counts as background
            boxes.background += neighbours
            boxes.mask[(boxes.mask & MaskCode.FOREGROUND) != 0] &= np.uint8(255 - MaskCode.OVERLAPPED)
        counts, sums = np.zeros((n, 8), np.int64), np.zeros((n, 2))
        sum_pixels(boxes.offsets, boxes.data, boxes.mask, boxes.background, counts, sums)
        m, used = counts[:, 1], counts[:, 3]
        mean_variance = estimate.mean_variance
        if mean_variance is None:
            mean_variance = np.where(used > 0, np.abs(estimate.mean + noise) / np.maximum(used, 1), 0.0)
        value = sums[:, 0] - sums[:, 1]
        background_variance = np.abs(sums[:, 1] + m * noise) + m.astype(np.float64) ** 2 * mean_variance
        flags = np.zeros(n, np.uint64)

        def mark(rows: np.ndarray, flag: Flag) -> None:
            flags[rows] |= np.uint64(int(flag))

        good_background = np.asarray(estimate.success, bool)
        enough = counts[:, 1] >= self.threshold * np.maximum(counts[:, 4], 1)
        whole = (counts[:, 5] == 0) & (counts[:, 4] > 0)
        summed = good_background & whole
        mark((block.marks & 1) != 0, Flag.OVERLOADED)
        mark((counts[:, 7] & 1) != 0, Flag.OVERLAPPED_FG)
        mark((block.marks & 2) != 0, Flag.OVERLAPPED_BG)
        mark(counts[:, 5] > 0, Flag.FOREGROUND_INCLUDES_BAD_PIXELS)
        mark(counts[:, 6] > 0, Flag.BACKGROUND_INCLUDES_BAD_PIXELS)
        mark(~good_background, Flag.FAILED_DURING_BACKGROUND_MODELLING)
        mark(~good_background | ~enough, Flag.DONT_INTEGRATE)
        mark(summed, Flag.INTEGRATED_SUM)
        mark(~summed, Flag.FAILED_DURING_SUMMATION)
        columns = {
            "intensity.sum.value": np.where(good_background, value, 0.0),
            "intensity.sum.variance": np.where(good_background, (np.abs(value) + background_variance) * self.gain, 0.0),
            "background.sum.value": sums[:, 1],
            "background.sum.variance": background_variance * self.gain,
            "background.mean": np.asarray(estimate.mean, np.float64),
            "background.mse": np.asarray(estimate.mse, np.float64),
            "background.dispersion": np.asarray(estimate.dispersion, np.float64),
            "num_pixels.valid": counts[:, 0].astype(np.int32),
            "num_pixels.foreground": counts[:, 1].astype(np.int32),
            "num_pixels.background": counts[:, 2].astype(np.int32),
            "num_pixels.background_used": counts[:, 3].astype(np.int32),
        }
        centroids = self.centroid.compute_centroids(shoeboxes=boxes)
        calculated = work.table["xyzcal.px"]
        found = np.asarray(centroids.success, bool)[:, None]
        columns["xyzobs.px.value"] = np.where(found, centroids.position, calculated)
        columns["xyzobs.px.variance"] = np.where(found, centroids.variance, 0.0)
        if fitter is not None:
            fit = fitter.fit(work.table, lifted(boxes, noise), work.expected, mean_variance)
            fitted = fit.success & good_background & enough
            mark(fitted, Flag.INTEGRATED_PRF)
            mark(~fitted, Flag.FAILED_DURING_PROFILE_FITTING)
            columns["intensity.prf.value"] = np.where(fitted, fit.value, 0.0)
            columns["intensity.prf.variance"] = np.where(fitted, fit.variance * self.gain, -1.0)
            columns["profile.correlation"] = np.where(fitted, fit.correlation, 0.0)
        return Measured(block.rows, columns, flags, mean_variance, noise, boxes if self.keep else None)
