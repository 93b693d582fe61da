"""Fits of normal distributions to pixels, and what strong spots teach of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.profile_fitter import ProfileFit, ProfileFitter
from spindle.models import Experiment, Experiments
from spindle.report import Table
from spindle.table import ReflectionTable, Shoeboxes
from spindle_lib_noise.signal import expected_signal

from .geometry import Model, pixel_steps, points_of, rays_of_pixels
from .kernels import fit_spots
from .likelihood import Spots, fit_model, joined, weighted
from .models import model_of, written
from .moments import spots_of

__all__ = ["EllipsoidFitter"]

FINEST, COARSEST = 3, 8
POINTS_PER_SIGMA = 2.0
FEWEST = 10


class EllipsoidFitter(ProfileFitter):
    """Fits the distributions of the models; strong spots, free of background, improve those before.

    Parameters
    ----------
    experiments : Experiments
        With models.
    max_iter, tolerance, widest
        As in `likelihood.fit_model`.
    """

    counts_expected = True

    def __init__(self, experiments: Experiments, max_iter: int, tolerance: float, widest: float) -> None:
        self.experiments = list(experiments)
        self.of = [model_of(e.profile or {}) for e in experiments]
        self.limits = (max_iter, tolerance, widest)
        self.learned: list[list[Spots]] = [[] for _ in self.experiments]
        self.numbers = np.zeros(len(self.experiments), np.int64)

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        """See `ProfileFitter.learn`."""
        used = np.zeros(len(reflections), np.bool_)
        for i, rows in reflections.rows_by_experiment().items():
            spots, good = spots_of(self.experiments[i], reflections.select(rows), shoeboxes.select(rows), whole=True)
            if len(spots):
                self.learned[i].append(spots)
                used[rows[good]] = True
        return used

    def finish(self, map: Any = None) -> None:
        """See `ProfileFitter.finish`."""
        for i, parts in enumerate(self.learned):
            self.numbers[i] = sum(len(part) for part in parts)
            if self.numbers[i] < max(FEWEST, self.of[i].mosaicity.n_parameters + 3):
                continue
            spots = joined(parts)
            model, _ = fit_model(self.of[i].mosaicity, weighted(spots), self.of[i], *self.limits)
            self.of[i] = model
            profile = {**(self.experiments[i].profile or {}), **written(model), "n_obs": len(spots)}
            self.experiments[i] = replace(self.experiments[i], profile=profile)
        self.learned = [[] for _ in self.experiments]

    def fit(
        self, reflections: ReflectionTable, shoeboxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> ProfileFit:
        """See `ProfileFitter.fit`."""
        n = len(reflections)
        out = np.zeros((n, 6))
        for i, rows in reflections.rows_by_experiment().items():
            table = reflections.select(rows)
            boxes = shoeboxes if len(rows) == n else shoeboxes.select(rows)
            own = self._fitted(i, table, boxes, expected[rows], background_variance[rows])
            out[rows] = own
        good = (out[:, 3] > 0) & np.isfinite(out[:, :3]).all(axis=1)
        return ProfileFit(
            np.where(good, out[:, 0], 0.0), np.where(good, out[:, 1], -1.0), np.where(good, out[:, 2], 0.0), good
        )

    def _fitted(
        self, i: int, table: ReflectionTable, boxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> np.ndarray:
        """(n, 6), see `fit_spots`. Weights that follow the noise are biased: they follow what is to be expected after a first fit."""
        *shapes, n_sub = shapes_of(self.experiments[i], self.of[i], table)
        out, wanted = np.zeros((len(table), 6)), np.ascontiguousarray(expected)
        for _ in range(2):
            fit_spots(
                *shapes, boxes.bbox, boxes.offsets, boxes.data, boxes.mask, boxes.background, wanted,
                np.ascontiguousarray(background_variance), n_sub, out,
            )  # fmt: skip
            wanted = expected_signal(out[:, 0], out[:, 5], expected)
        return out

    def models(self) -> list[dict[str, Any]]:
        """See `ProfileFitter.models`."""
        return [dict(e.profile or {}) for e in self.experiments]

    def tables(self) -> list[Table]:
        """See `ProfileFitter.tables`."""
        rows = [
            [i, int(number), *(f"{v:.4f}" for v in model.mosaicity.described(model.parameters).values())]
            for i, (number, model) in enumerate(zip(self.numbers, self.of, strict=True))
        ]
        if not rows or len({len(row) for row in rows}) > 1:
            return []
        names = [n.replace("_deg", "\n(deg)") for n in self.of[0].mosaicity.described(self.of[0].parameters)]
        headers = ["Experiment", "Strong\nspots", *(n if "deg" in n else f"{n}\n(1e-3/A)" for n in names)]
        return [Table("Mosaicity", headers, rows, "mosaicity")]


def shapes_of(experiment: Experiment, model: Model, reflections: ReflectionTable) -> tuple[np.ndarray, ...]:
    """What `kernels.fit_spots` wants to know of spots: rays, means, covariances, drifts, variances across, steps, z, and sub-pixels."""
    points = points_of(experiment, reflections)
    rays = rays_of_pixels(experiment, points, reflections)
    seen = model.seen(points)
    steps = np.zeros(len(points))
    if not experiment.is_still:
        steps = points.velocity[:, 2] * experiment.known_scan.oscillation[1]
    moved = pixel_steps(rays, reflections["xyzcal.px"][:, :2])
    back = np.linalg.inv(moved)
    in_pixels = np.linalg.eigvalsh(back @ seen.momentary @ back.transpose(0, 2, 1))[:, 0]
    fine = POINTS_PER_SIGMA / np.sqrt(np.maximum(in_pixels, 1e-6))
    n_sub = np.clip(np.ceil(fine), FINEST, COARSEST).astype(np.int64)
    momentary = np.ascontiguousarray(seen.momentary.reshape(-1, 4)[:, [0, 1, 3]])
    z = np.ascontiguousarray(reflections["xyzcal.px"][:, 2])
    return rays, seen.mean, momentary, seen.drift, seen.normal, steps, z, n_sub
