"""Learns the shape of the background from images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.contracts.background import BackgroundLearner
from spindle.models import Experiment
from spindle.report import Table

from .kernels import add_pixels, place_pixels, smooth_as_far_as_it_goes, sum_bins, sum_cells
from .place_kernels import pixels_of_bins, slopes
from .shape import RadialShape, bilinear

__all__ = ["RadialLearner"]

BINS_PER_PIXEL = 6  # a ring half a pixel wide is broadened by less than a percent
RING_PIXELS = 12  # wider structure is called smooth
WIDEST = 64  # bins: of the smooth part, about 10 pixels each way
CERTAINTY = 2.0
OUTLIER = 5.0
ROUNDS = 3
CELL = 32
CELL_COUNTS = 400.0  # a correction from fewer counts is drawn towards 1
LEAST_SPREAD = 0.1
SECTORS = 24
RING_ERROR = 0.015  # of the mean counts of a ring one pixel wide; rings of less than 0.02 are never told from noise
NODE = 4  # pixels between positions that are calculated; between them a ray is off by less than 1e-4 px

_Pixels = tuple[list[np.ndarray], list[np.ndarray], float, float, int]


class RadialLearner(BackgroundLearner):
    """Sums of all pixels beside spots, and the curves that are in them.

    Parameters
    ----------
    experiment : Experiment
    """

    def __init__(self, experiment: Experiment) -> None:
        self.beam, self.detector = experiment.beam, experiment.detector
        shapes = [(p.image_size[1], p.image_size[0]) for p in experiment.detector]
        self.total = [np.zeros(shape, np.float32) for shape in shapes]
        self.number = [np.zeros(shape, np.uint16) for shape in shapes]
        self.shape: RadialShape | None = None
        self._looked_up: _Pixels | None = None

    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """See `BackgroundLearner.add_image`."""
        for values, good, total, seen in zip(panels, free, self.total, self.number, strict=True):
            add_pixels(values, good, total, seen)

    def join(self, later: RadialLearner) -> None:
        """See `BackgroundLearner.join`."""
        for p in range(len(self.total)):
            self.total[p] += later.total[p]
            self.number[p] += later.number[p]

    def enough_images(self, seen: int) -> int:
        """See `BackgroundLearner.enough_images`: until the counts of a ring one pixel wide are known to `RING_ERROR`."""
        counts = sum(float(t.sum(dtype=np.float64)) for t in self.total)
        if counts <= 0.0:
            return self.most_images
        wanted = self._pixels()[-1] / BINS_PER_PIXEL / RING_ERROR**2
        return int(np.ceil(min(seen * wanted / counts, self.most_images)))

    def finish(self) -> RadialShape | None:
        """The shape; None where no pixel has seen a count."""
        if not any(float(t.sum()) > 0.0 for t in self.total):
            return None
        places, weights, lowest, step, n_bins = self._pixels()
        corrections = [np.ones((-(-t.shape[0] // CELL), -(-t.shape[1] // CELL))) for t in self.total]
        curve, error = np.zeros(n_bins), np.zeros(n_bins)
        for turn in range(ROUNDS):
            sums = np.zeros((n_bins, 2))
            for t, n, place, weight, grid in zip(self.total, self.number, places, weights, corrections, strict=True):
                sum_bins(t, n, place, lowest, step, weight, grid, CELL, curve, OUTLIER, sums)
            curve, error = np.zeros(n_bins), np.zeros(n_bins)
            smooth_as_far_as_it_goes(
                np.ascontiguousarray(sums[:, 0]), np.ascontiguousarray(sums[:, 1]), WIDEST, CERTAINTY, curve, error
            )
            known = np.isfinite(error)
            curve = np.maximum(np.interp(np.arange(n_bins), np.flatnonzero(known), curve[known]), 0.0)
            if turn < ROUNDS - 1:
                corrections = self._corrections(places, weights, lowest, step, curve)
        smooth, sharp = split(curve, np.where(known, error, 0.0))
        spread = self._spread(places, weights, corrections, lowest, step, smooth, sharp)
        self.shape = RadialShape(
            self.beam, lowest, step, smooth, sharp, np.where(known, error, 0.0), tuple(corrections), CELL, spread
        )
        return self.shape

    def tables(self) -> list[Table]:
        """The rings that were found."""
        if self.shape is None:
            return []
        shape, rows = self.shape, []
        for first, last in runs(shape.sharp > 0):
            part = slice(first, last)
            top = first + int(np.argmax(shape.sharp[part]))
            if shape.sharp[top] < max(0.1 * shape.smooth[top], 6.0 * shape.error[top]):
                continue
            d = 1.0 / (shape.lowest + top * shape.step)
            rows.append([f"{d:.3f}", f"{shape.sharp[top]:.3g}", f"{shape.smooth[top]:.3g}", f"{last - first:d}"])
        if not rows:
            return []
        for row in rows:
            row[3] = f"{int(row[3]) / BINS_PER_PIXEL:.1f}"
        return [
            Table(
                "Rings in the background",
                ["d (A)", "ring (counts)", "beside (counts)", "width (px)"],
                rows,
                "rings",
                True,
            )
        ]

    def _pixels(self) -> _Pixels:
        """See `_look_up`, which is done once."""
        if self._looked_up is None:
            self._looked_up = self._look_up()
        return self._looked_up

    def _look_up(self) -> _Pixels:
        """1/d and polarisation of every pixel, (slow, fast) float32; s of the first bin, width and number of bins."""
        places, weights, steps = [], [], []
        beam = self.beam
        for p, panel in enumerate(self.detector):
            ny, nx = self.total[p].shape
            node = NODE if panel.distortion is None else 1
            y, x = (np.arange(-(-n // node) + 1) * float(node) + 0.5 for n in (ny, nx))
            xy = np.stack([np.tile(x, len(y)), np.repeat(y, len(x))], axis=1)
            nodes = self.detector.lab_coordinate_of_pixel(np.full(len(xy), p), xy).reshape(len(y), len(x), 3)
            s, polarisation = np.empty((ny, nx), np.float32), np.empty((ny, nx), np.float32)
            place_pixels(nodes, node, beam.s0, beam.polarization_normal, beam.polarization_fraction, s, polarisation)
            places.append(s)
            weights.append(polarisation)
            if min(ny, nx) > 1:
                down, along = np.empty_like(s), np.empty_like(s)
                slopes(s, down, along)
            else:
                down = along = np.full((ny, nx), 1e-3)
            steps.append(float(np.median(np.hypot(down, along, out=down), overwrite_input=True)))
        step = max(float(np.median(steps)) / BINS_PER_PIXEL, 1e-7)
        lowest = min(float(s.min()) for s in places)
        n_bins = int((max(float(s.max()) for s in places) - lowest) / step) + 2
        return places, weights, lowest, step, n_bins

    def _corrections(
        self, places: list[np.ndarray], weights: list[np.ndarray], lowest: float, step: float, curve: np.ndarray
    ) -> list[np.ndarray]:
        """Observed over expected on the cells of each panel."""
        from scipy.ndimage import uniform_filter

        grids = []
        found = predicted = 0.0
        for total, number, place, weight in zip(self.total, self.number, places, weights, strict=True):
            ny, nx = total.shape
            sums = np.zeros((2, -(-ny // CELL), -(-nx // CELL)))
            sum_cells(total, number, place, lowest, step, weight, curve, OUTLIER, CELL, sums)
            found, predicted = found + sums[0].sum(), predicted + sums[1].sum()
            seen, model = (uniform_filter(a, 3, mode="constant") * 9 for a in sums)
            grids.append((seen + CELL_COUNTS) / (model + CELL_COUNTS))
        mean = max(found, 1e-9) / max(predicted, 1e-9)  # it belongs to the curve
        return [g / mean for g in grids]

    def _spread(
        self, places: list[np.ndarray], weights: list[np.ndarray], corrections: list[np.ndarray], lowest: float, step: float,
        smooth: np.ndarray, sharp: np.ndarray,
    ) -> float:  # fmt: skip
        """How much the strength of rings differs around them beyond the noise, relative to the mean."""
        bins = np.arange(len(smooth))
        strong = sharp > 0.3 * smooth
        if not strong.any():
            return LEAST_SPREAD
        sums = np.zeros((3, SECTORS))
        s0 = self.beam.s0
        for p, (total, number, s, weight, grid) in enumerate(
            zip(self.total, self.number, places, weights, corrections, strict=True)
        ):
            nx = total.shape[1]
            n, chosen = number.ravel(), np.empty(number.size, np.int64)
            chosen = chosen[: pixels_of_bins(number, s, lowest, step, strong, chosen)]
            if not len(chosen):
                continue
            at = (s.ravel()[chosen].astype(np.float64) - lowest) / step
            xy = np.stack([chosen % nx + 0.5, chosen // nx + 0.5], axis=1)
            factor = weight.ravel()[chosen] * n[chosen] * bilinear(grid, xy / CELL - 0.5)
            ring, rest = np.interp(at, bins, sharp) * factor, np.interp(at, bins, smooth) * factor
            lab = self.detector.lab_coordinate_of_pixel(np.full(len(chosen), p), xy)
            e1 = np.cross(s0, [1.0, 0.0, 0.0] if abs(s0[0]) < 0.9 * np.linalg.norm(s0) else [0.0, 1.0, 0.0])
            e2 = np.cross(s0, e1) / np.linalg.norm(s0)
            sector = ((np.arctan2(lab @ e2, lab @ e1) / (2 * np.pi) + 0.5) * SECTORS).astype(np.int64) % SECTORS
            seen = total.ravel()[chosen]
            for k, values in enumerate((seen - rest, ring, ring + rest)):
                sums[k] += np.bincount(sector, values, SECTORS)
        some = sums[1] > 100.0
        if np.count_nonzero(some) < 3:
            return LEAST_SPREAD
        strength = sums[0, some] / sums[1, some]
        noise = sums[2, some] / sums[1, some] ** 2
        return float(np.sqrt(max(np.var(strength) - noise.mean(), 0.0) + LEAST_SPREAD**2))


def split(curve: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve (b,) as a smooth part and rings, the narrow peaks that stand out of its noise (b,); their sum is the curve."""
    from scipy.ndimage import grey_opening, uniform_filter1d

    width = RING_PIXELS * BINS_PER_PIXEL
    longer = np.pad(curve, 2 * width, mode="reflect", reflect_type="odd")  # goes on with its slope
    base = uniform_filter1d(grey_opening(longer, width), width // 2)[2 * width : -2 * width]
    sharp = np.maximum(curve - base, 0.0)
    sharp[sharp < np.maximum(3.0 * error, 0.02 * base)] = 0.0
    return curve - sharp, sharp


def runs(inside: np.ndarray) -> list[tuple[int, int]]:
    """First and last place, half open, of each run of True in (n,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
