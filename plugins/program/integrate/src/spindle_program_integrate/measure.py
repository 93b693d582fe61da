"""What is done with a block of filled shoeboxes: background, centroids, sums, profile fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.execution import Common
from spindle.images import Correction, correct_shoeboxes
from spindle.models import Detector
from spindle.table import Flag, ReflectionTable, Shoeboxes
from spindle_lib_noise.signal import expected_signal

from .crowded import Surroundings, among_neighbours
from .joint import Equations, Neighbours, set_up
from .kernels import free_crowded, mark_used, sum_pixels
from .noise import counts_photons, lifted, noise_beyond_counts
from .zingers import mask_zingers

#: Pixels under no other spot that make a background, and fewest where those in the outskirts of others count, too.
ENOUGH_BACKGROUND, LEAST_BACKGROUND = 100, 20

#: Columns that measuring fills, and those of a fit.
RESULT_COLUMNS = (
    "intensity.sum.value",
    "intensity.sum.variance",
    "background.sum.value",
    "background.sum.variance",
    "background.mean",
    "background.mse",
    "background.dispersion",
    "num_pixels.valid",
    "num_pixels.foreground",
    "num_pixels.background",
    "num_pixels.background_used",
    "xyzobs.px.value",
    "xyzobs.px.variance",
)
FIT_COLUMNS = ("intensity.prf.value", "intensity.prf.variance", "profile.correlation")


@dataclass
class Filled:
    """Spots whose pixels are complete.

    Attributes
    ----------
    rows : (n,) int64
        Rows of the run's table.
    shoeboxes : Shoeboxes
        Raw values; they are changed.
    marks : (n,) uint8
        As in `extract_pixels`.
    table : ReflectionTable
        What a fitter may want to know of the n spots.
    expected : (n,) float64, counts
        Mean intensity of reflections of such resolution; negative where unknown.
    kept : (n,) bool
        Of which the shoeboxes are wanted.
    neighbours : Neighbours or None
        The spots that they may overlap with.
    around : callable or None
        ``around(rows)`` gives the spots near some of them, and maybe more.
    """

    rows: np.ndarray
    shoeboxes: Shoeboxes
    marks: np.ndarray
    table: ReflectionTable
    expected: np.ndarray
    kept: np.ndarray
    neighbours: Neighbours | None = None
    around: Callable[[np.ndarray], Surroundings] | None = None

    def __repr__(self) -> str:
        return f"{len(self.rows)} spots with their pixels"


@dataclass
class Measured:
    """Results of some spots.

    Attributes
    ----------
    rows : (n,) int64
        Rows of the run's table.
    columns : dict of (n, ...) arrays
    flags : (n,) uint64
        To be set.
    kept : (k,) int64
        Positions among the rows whose shoeboxes are here.
    shoeboxes : Shoeboxes
        Of those.
    noise : (k,) float64
        Variance of their pixels beyond that of counts, see `noise_beyond_counts`.
    equations : Equations or None
        Of those that may overlap with others.
    n_hit : int
        Spots with stray hits in their foreground.
    """

    rows: np.ndarray
    columns: dict[str, np.ndarray]
    flags: np.ndarray
    kept: np.ndarray
    shoeboxes: Shoeboxes
    noise: np.ndarray
    equations: Equations | None = None
    n_hit: int = 0


@dataclass(frozen=True)
class Measure:
    """Measures spots; may be called in several threads, or processes, at once.

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
    learned : object
        What the background model learned from the images.
    fitter : Common of ProfileFitter, or None
        For models of counts, and for profile fits.
    fit : bool
        Whether profiles are fitted.
    only_good : bool
        Keep shoeboxes only of spots that profiles may be learned from: summed, of more than no counts, not overloaded.
    zingers : bool
        Mask pixels of foregrounds that exceed the fit by far, alone among their neighbours.
    """

    detector: Detector
    corrections: list[Correction]
    background: Any
    centroid: Any
    gain: float
    threshold: float
    learned: Any = None
    fitter: Common | None = None
    fit: bool = False
    only_good: bool = False
    zingers: bool = False

    def __call__(self, filled: Filled) -> Measured:
        """Background, sums, centroids and, where asked for, profile fits."""
        boxes = filled.shoeboxes
        n = len(boxes)
        correct_shoeboxes(self.corrections, boxes.panel, boxes.bbox, boxes.offsets, boxes.data)
        crowded = free_crowded(boxes.offsets, boxes.mask, ENOUGH_BACKGROUND, LEAST_BACKGROUND)
        estimate = self.background.estimate_background(shoeboxes=boxes, detector=self.detector, learned=self.learned)
        fitter: Any = None if self.fitter is None else self.fitter.value
        of_crowded = np.full(n, -1.0)
        if self.fit and filled.around is not None and crowded.any():
            some = np.flatnonzero(crowded)
            around = filled.around(filled.rows[some])
            estimate, of_crowded = among_neighbours(fitter, some, filled.rows, boxes, estimate, around)
        boxes.background = np.ascontiguousarray(estimate.background, dtype=np.float32)
        mark_used(estimate.used, boxes.mask)
        noise = noise_beyond_counts(boxes, counts_photons(self.detector, self.corrections))
        counts, sums = np.zeros((n, 8), np.int64), np.zeros((n, 2))
        sum_pixels(boxes.offsets, boxes.data, boxes.mask, boxes.background, counts, sums)
        m, used = counts[:, 1], counts[:, 3]
        mean_variance = estimate.mean_variance
        if mean_variance is None:
            mean_variance = np.where(used > 0, np.abs(estimate.mean + noise) / np.maximum(used, 1), 0.0)
        mean_variance = np.where(of_crowded >= 0.0, of_crowded, mean_variance)
        value = sums[:, 0] - sums[:, 1]
        background_variance = np.abs(sums[:, 1] + m * noise) + m.astype(np.float64) ** 2 * mean_variance
        signal = expected_signal(value, background_variance, filled.expected)
        good_background = np.asarray(estimate.success, bool)
        flags = np.zeros(n, np.uint64)
        raised, fit, n_hit = boxes, None, 0
        if self.fit:
            raised = lifted(boxes, noise)
            fit = fitter.fit(filled.table, raised, filled.expected, mean_variance)
            if self.zingers and fitter.deconvolution:
                hit = mask_zingers(
                    fitter, filled.table, raised, value, signal + background_variance, fit.value,
                    fit.success & good_background,
                )  # fmt: skip
                n_hit = int(np.count_nonzero(hit))
                if n_hit:
                    # the mask is that of both; sums of what is left are no longer whole
                    boxes.mask = raised.mask
                    sum_pixels(boxes.offsets, boxes.data, boxes.mask, boxes.background, counts, sums)
                    value[hit] = sums[hit, 0] - sums[hit, 1]

        def mark(rows: np.ndarray, flag: Flag) -> None:
            flags[rows] |= np.uint64(int(flag))

        enough = counts[:, 1] >= self.threshold * np.maximum(counts[:, 4], 1)
        whole = (counts[:, 5] == 0) & (counts[:, 4] > 0)
        summed = good_background & whole
        mark((filled.marks & 1) != 0, Flag.OVERLOADED)
        mark((counts[:, 7] & 1) != 0, Flag.OVERLAPPED_FG)
        mark((filled.marks & 2) != 0, Flag.OVERLAPPED_BG)
        mark(counts[:, 5] > 0, Flag.FOREGROUND_INCLUDES_BAD_PIXELS)
        mark(counts[:, 6] > 0, Flag.BACKGROUND_INCLUDES_BAD_PIXELS)
        mark(~good_background, Flag.FAILED_DURING_BACKGROUND_MODELLING)
        mark(~good_background | ~enough, Flag.DONT_INTEGRATE)
        mark(summed, Flag.INTEGRATED_SUM)
        mark(~summed, Flag.FAILED_DURING_SUMMATION)
        columns = {
            "intensity.sum.value": np.where(good_background, value, 0.0),
            "intensity.sum.variance": np.where(good_background, (signal + background_variance) * self.gain, 0.0),
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
        calculated = filled.table["xyzcal.px"]
        found = np.asarray(centroids.success, bool)[:, None]
        columns["xyzobs.px.value"] = np.where(found, centroids.position, calculated)
        columns["xyzobs.px.variance"] = np.where(found, centroids.variance, 0.0)
        equations = None
        if fit is not None:
            if filled.neighbours is not None:
                equations = set_up(
                    fitter, filled.rows, filled.table, raised, filled.expected, mean_variance, filled.neighbours,
                    good_background & enough & ((filled.marks & 4) != 0), fit.profile,
                )  # fmt: skip
            fitted = fit.success & good_background & enough
            mark(fitted, Flag.INTEGRATED_PRF)
            mark(~fitted, Flag.FAILED_DURING_PROFILE_FITTING)
            columns["intensity.prf.value"] = np.where(fitted, fit.value, 0.0)
            columns["intensity.prf.variance"] = np.where(fitted, fit.variance * self.gain, -1.0)
            columns["profile.correlation"] = np.where(fitted, fit.correlation, 0.0)
        kept = filled.kept
        if self.only_good:
            kept = kept & may_teach(flags) & (columns["intensity.sum.value"] > 0)
        at = np.flatnonzero(kept)
        held = boxes if len(at) == n else boxes.select(at)
        return Measured(filled.rows, columns, flags, at, held, noise[at], equations, n_hit)


def may_teach(flags: np.ndarray) -> np.ndarray:
    """(n,) bool: spots that were summed and are not overloaded."""
    summed = (flags & np.uint64(int(Flag.INTEGRATED_SUM))) != 0
    return np.asarray(summed & ((flags & np.uint64(int(Flag.OVERLOADED))) == 0))
