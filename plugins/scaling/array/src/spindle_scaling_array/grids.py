"""Smooth functions of several coordinates as values at the points of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle_lib_smoothing.smoother import n_samples, smoother_weights


@dataclass(frozen=True, slots=True)
class Axis:
    """One coordinate of a grid.

    Attributes
    ----------
    start : float
        Where the range begins.
    spacing_factor : float
        From the coordinate to intervals.
    n_intervals : int
    """

    start: float
    spacing_factor: float
    n_intervals: int

    @property
    def n_values(self) -> int:
        """Number of points."""
        return n_samples(self.n_intervals)

    @staticmethod
    def intervals_of(n_values: int) -> int:
        """Intervals that belong to a number of points."""
        return n_values - 1 if n_values <= 3 else n_values - 2

    def weights(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points and weights (n, at most 3) at coordinates (n,)."""
        u = np.clip((x - self.start) * self.spacing_factor, 0.0, float(self.n_intervals))
        return smoother_weights(u, self.n_values)


def grid_weights(axes: Sequence[Axis], coordinates: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Points of a grid, the first coordinate running fastest, and their weights at n places.

    Returns
    -------
    indices : (n, k) int32
    weights : (n, k) float64
        Products of the weights along each axis; rows sum to 1.
    """
    n = len(coordinates[0])
    indices, weights = np.zeros((n, 1), np.int64), np.ones((n, 1))
    step = 1
    for axis, x in zip(axes, coordinates, strict=True):
        points, values = axis.weights(np.asarray(x, dtype=np.float64))
        width = points.shape[1] * indices.shape[1]
        indices = (points[:, :, None] * step + indices[:, None, :]).reshape(n, width)
        weights = (values[:, :, None] * weights[:, None, :]).reshape(n, width)
        step *= axis.n_values
    return indices.astype(np.int32), weights


def grid_smoothness(sizes: Sequence[int]) -> np.ndarray:
    """(p, p) matrix of the sum of squared steps between neighbours of a grid, the first coordinate running fastest."""
    p = int(np.prod(sizes))
    total = np.zeros((p, p))
    for k, size in enumerate(sizes):
        steps = np.diff(np.eye(size), axis=0)
        part: np.ndarray = np.ones((1, 1))
        for other, n in enumerate(sizes):
            part = np.kron(steps.T @ steps if other == k else np.eye(n), part)
        total += part
    return total
