"""Which model predicts best what it has not seen: counts in the middle of boxes that hold no spot."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.background import BackgroundLearner
from spindle.models import Experiment
from spindle.report import DETAIL, Table
from spindle.table import MaskCode, Shoeboxes

__all__ = ["AutoLearner", "Choice"]

log = logging.getLogger(__name__)

N_BOXES = 2400
HALF = 6  # boxes are 13 pixels wide
RADIUS = 2.6  # pixels: 21 in the middle are held out
IMAGES = 8  # of each box
LEAST_HELD_OUT = 0.6  # part of the middle that must be free
N_SHELLS = 12
SIGNIFICANT = 4.0  # standard deviations
FAR = 8.0  # standard deviations: no miss counts for more
WORTHWHILE = 0.04  # of the mean square of z: 2 % of the standard deviation

_dy, _dx = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
MIDDLE = _dx**2 + _dy**2 <= RADIUS**2


@dataclass(frozen=True)
class Choice:
    """The model that was chosen, what it learned, and why."""

    name: str
    learned: Any
    reason: str


class AutoLearner(BackgroundLearner):
    """Lets a model learn, and keeps boxes without spots on which it competes with another that need not learn.

    Parameters
    ----------
    experiment : Experiment
    usual, learning : str
        Names of the two models.
    models : dict of str to Handle
    learner : BackgroundLearner
        Of the model that learns.
    reason : str
        Why the usual one is the usual one.
    said : set of str
        Names of the models that were chosen for other images of the run; that which is chosen is added.
    """

    def __init__(
        self, experiment: Experiment, usual: str, learning: str, models: dict[str, Any], learner: BackgroundLearner, reason: str,
        said: set[str],
    ) -> None:  # fmt: skip
        self.experiment, self.usual, self.learning, self.models = experiment, usual, learning, models
        self.learner, self.reason, self.said = learner, reason, said
        self.most_images = learner.most_images
        self.panel, self.corner = _places(experiment)
        self.pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.table: Table | None = None

    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """See `BackgroundLearner.add_image`."""
        self.learner.add_image(number, panels, free)
        first, n = self._scan()
        taken = min(n, self.most_images)
        window = (number - first) * taken // n // IMAGES
        windows = -(-taken // IMAGES)
        for p, (values, good) in enumerate(zip(panels, free, strict=True)):
            at = np.flatnonzero((self.panel == p) & (np.arange(len(self.panel)) % windows == window % windows))
            if not len(at):
                continue
            x = self.corner[at, 0, None, None] + np.arange(2 * HALF + 1)[None, None]
            y = self.corner[at, 1, None, None] + np.arange(2 * HALF + 1)[None, :, None]
            self.pieces.append((at, np.asarray(values[y, x], np.float32), good[y, x]))

    def join(self, later: AutoLearner) -> None:
        """See `BackgroundLearner.join`."""
        self.learner.join(later.learner)
        self.pieces += later.pieces

    def enough_images(self, seen: int) -> int:
        """See `BackgroundLearner.enough_images`: what the model that learns needs; every box is on `IMAGES` images in any case."""
        return self.learner.enough_images(seen)

    def finish(self) -> Choice:
        """Compare, choose, and say so; of a choice that was made before for other images, in the log only."""
        choice = self._choice()
        known = choice.name in self.said
        self.said.add(choice.name)
        log.info("Background: Auto chose %s because %s", choice.name, choice.reason, extra=DETAIL if known else None)
        return choice

    def _choice(self) -> Choice:
        learned = self.learner.finish()
        boxes = self._boxes()
        if learned is None or len(boxes) < 50:
            return Choice(self.usual, None, f"{self.reason}; there is too little beside the spots to learn from")
        detector = self.experiment.detector
        a, _ = self._misses(self.usual, boxes, None)
        b, vb = self._misses(self.learning, boxes, learned)
        known = np.isfinite(a) & np.isfinite(b)
        boxes, a, b, variance = boxes.select(known), a[known], b[known], np.maximum(vb, 1e-9)[known]
        if np.count_nonzero(known) < 50:
            return Choice(self.usual, None, f"{self.reason}; there is too little beside the spots to learn from")
        middle = boxes.bbox[:, [0, 2]] + HALF + 0.5
        x = 1.0 / detector.resolution_at(boxes.panel, middle, self.experiment.beam.s0) ** 2
        order = np.argsort(x, kind="stable")
        # a hot pixel, or a spot of another crystal, is no reason for either
        za, zb = np.minimum(a**2 / variance, FAR**2), np.minimum(b**2 / variance, FAR**2)
        rows: list[list[Any]] = []
        better = False
        for part in np.array_split(order, N_SHELLS):
            gain = za[part] - zb[part]
            mean, error = float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(part))) if len(part) > 1 else np.inf
            better |= mean > max(WORTHWHILE, SIGNIFICANT * error)
            rows.append([
                f"{x[part[0]] ** -0.5:.2f} - {x[part[-1]] ** -0.5:.2f}", len(part),
                f"{np.sqrt(za[part].mean()):.2f}", f"{np.sqrt(zb[part].mean()):.2f}",
            ])  # fmt: skip
        gain = za - zb
        overall, error = float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))
        better = bool((better and overall > 0) or overall > max(WORTHWHILE, SIGNIFICANT * error))
        self.table = Table(
            "Counts that background models did not see, rms of (found - predicted) / sigma",
            ["d (A)", "boxes", self.usual, self.learning],
            rows,
            "background_trial",
            detail=True,
        )
        worst = max(rows, key=lambda row: float(row[2]) - float(row[3]))
        numbers = (
            f"in {len(boxes)} boxes without spots, counts that the models did not see differ by rms {np.sqrt(za.mean()):.2f} sigma "
            f"with {self.usual} and {np.sqrt(zb.mean()):.2f} with {self.learning} (at {worst[0]} A {worst[2]} and {worst[3]})"
        )
        if better:
            return Choice(
                self.learning, learned, f"the background depends on resolution within the size of a spot: {numbers}"
            )
        return Choice(self.usual, None, f"{self.reason}, and no rings are in the way: {numbers}")

    def tables(self) -> list[Table]:
        """See `BackgroundLearner.tables`."""
        return ([] if self.table is None else [self.table]) + self.learner.tables()

    def _scan(self) -> tuple[int, int]:
        """Array index of the first image, and how many there are."""
        scan = self.experiment.scan
        if scan is None:
            return 0, 1
        first, last = scan.array_range
        return first, last - first

    def _boxes(self) -> Shoeboxes:
        """The boxes with enough of their middle free, their images as slices."""
        if not self.pieces:
            return Shoeboxes.empty(np.zeros(0, np.int64), np.zeros((0, 6), np.int32))
        at, values, good = (np.concatenate([piece[i] for piece in self.pieces]) for i in range(3))
        order = np.argsort(at, kind="stable")
        at, values, good = at[order], values[order], good[order]
        numbers, depth = np.unique(at, return_counts=True)
        corner = self.corner[numbers]
        zero = np.zeros_like(depth)
        size = 2 * HALF + 1
        bbox = np.stack([corner[:, 0], corner[:, 0] + size, corner[:, 1], corner[:, 1] + size, zero, depth], axis=1)
        boxes = Shoeboxes.empty(self.panel[numbers], bbox)
        boxes.data[:] = values.ravel()
        kind = np.where(MIDDLE, np.uint8(MaskCode.FOREGROUND), np.uint8(MaskCode.BACKGROUND))
        boxes.mask[:] = (kind | np.where(good, np.uint8(MaskCode.VALID), np.uint8(0))).ravel()
        part = np.add.reduceat((good & MIDDLE).sum(axis=(1, 2)), np.cumsum(depth) - depth) / (MIDDLE.sum() * depth)
        return boxes.select(part >= LEAST_HELD_OUT)

    def _misses(self, name: str, boxes: Shoeboxes, learned: Any) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the middle less those that a model predicts, NaN where it fails, and the variance expected of that."""
        estimate = self.models[name].estimate_background(
            shoeboxes=boxes, detector=self.experiment.detector, learned=learned
        )
        held = (boxes.mask & (MaskCode.FOREGROUND | MaskCode.VALID)) == (MaskCode.FOREGROUND | MaskCode.VALID)
        box = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))[held]
        n = len(boxes)
        m = np.bincount(box, minlength=n)
        expected = np.bincount(box, estimate.background[held], minlength=n)
        missed = np.bincount(box, boxes.data[held], minlength=n) - expected
        spread = estimate.mean_variance if estimate.mean_variance is not None else np.zeros(n)
        # what pixels scatter by is their counts, or what was observed around them where they are no counts
        pixel = np.where(estimate.dispersion > 0, np.maximum(expected, 0.0), m * estimate.mse)
        return np.where(estimate.success, missed, np.nan), np.maximum(pixel + m**2 * spread, 1e-3)


def _places(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Panels (k,) and first pixels (k, 2) x, y of the boxes, spread evenly over all panels; the same in every process."""
    size = 2 * HALF + 1
    room = np.array([max(p.image_size[0] - size, 0) * max(p.image_size[1] - size, 0) for p in experiment.detector])
    panels, corners = [], []
    for p, panel in enumerate(experiment.detector):
        k = round(N_BOXES * room[p] / max(room.sum(), 1))
        # additive recurrence of the plastic number: even, without the lines of a grid (Roberts 2018)
        even = (0.5 + np.outer(np.arange(1, k + 1), [0.7548776662466927, 0.5698402909980532])) % 1.0
        panels.append(np.full(k, p, np.int64))
        corners.append((even * (np.array(panel.image_size) - size + 1)).astype(np.int64))
    return np.concatenate(panels), np.concatenate(corners).reshape(-1, 2)
