"""Smooth functions of one coordinate, held as a few values at equally spaced positions.

`Smoother`: the value anywhere is the mean of the nearest (at most three) samples weighted by a Gaussian of their distance; used for
scale factors that vary with dose. Evans (2006), Acta Cryst. D62, 72-82; Waterman et al. (2016), Acta Cryst. D72, 558-575.

`Spline`: the same number of values at the same places are the coefficients of a quadratic spline; used for models that vary with the
scan. It has neither steps nor ripples: the weighted mean steps where its three samples change, by 2.5 % of their differences, and is
straight only where its samples are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import ShapeError


def n_samples(n_intervals: int) -> int:
    """Number of sample values for a number of intervals: 2 for one, 3 for two, else two more than intervals."""
    if n_intervals < 1:
        raise ValueError(f"a smoother needs at least one interval, not {n_intervals}")
    return n_intervals + 1 if n_intervals < 3 else n_intervals + 2


def sample_positions(n_values: int) -> np.ndarray:
    """(n_values,) float64: positions of the samples in units of their spacing, from the start of the range."""
    positions = np.arange(n_values, dtype=np.float64)
    return positions if n_values <= 3 else positions - 0.5


def smoother_weights(u: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Which samples make up the smoothed value at some coordinates, and with which weights.

    Parameters
    ----------
    u : (n,) float64
        Coordinates in units of the sample spacing, counted from the start of the range.
    n_values : int, at least 2
        Number of samples.

    Returns
    -------
    indices : (n, m) int64, m = min(3, n_values)
        Samples that take part.
    weights : (n, m) float64
        Their weights (zero for a sample that takes no part); each row sums to 1. The smoothed value is
        ``(values[indices] * weights).sum(axis=1)``; the weights are its
        derivatives with respect to the samples.

    Notes
    -----
    The weights are exp(-((u - position) / sigma)^2), sigma = 0.65 + 0.05 (m - 2), of the m samples about u.

    """
    u = np.asarray(u, dtype=np.float64)
    if u.ndim != 1:
        raise ShapeError(f"smoother coordinates must be one-dimensional, not {u.shape}")
    if n_values < 2:
        raise ValueError(f"a smoother needs at least two samples, not {n_values}")
    m = min(3, n_values)
    sigma = 0.65 + 0.05 * (m - 2)
    if n_values <= 3:
        wanted = first = np.zeros(len(u), dtype=np.int64)
    else:
        x = u - 0.5 * m
        rounded = np.where(x >= 0, np.floor(x + 0.5), np.ceil(x - 0.5)).astype(np.int64)
        wanted = rounded + 1
        first = np.clip(wanted, 0, n_values - m)
    indices = first[:, None] + np.arange(m)
    distance = (u[:, None] - sample_positions(n_values)[indices]) / sigma
    exponent = -(distance * distance)
    exponent -= exponent.max(axis=1, keepdims=True, initial=-np.inf) if len(u) else 0.0
    weights = np.exp(exponent)
    # At and beyond the ends of the range only the two outermost samples count.
    weights[(indices >= np.maximum(wanted + m, 2)[:, None]) | (indices < np.minimum(wanted, n_values - 2)[:, None])] = (
        0.0
    )
    weights /= weights.sum(axis=1, keepdims=True)
    return indices, weights


def spline_weights(u: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """Which coefficients make up a quadratic spline at some coordinates, and with which weights.

    Parameters
    ----------
    u : (n,) float64
        Coordinates in units of the spacing, counted from the start of the range; those beyond its ends are taken as the ends.
    n_values : int, at least 2
        Number of coefficients. Two make a straight line, three one parabola over two spacings.

    Returns
    -------
    indices : (n, m) int64, m = min(3, n_values)
    weights : (n, m) float64
        Not negative; each row sums to 1.

    Notes
    -----
    Uniform quadratic B-splines; with three coefficients Bernstein's polynomials. de Boor (2001), A Practical Guide to Splines.
    """
    first, t = _pieces(u, n_values)
    if n_values == 2:
        columns = [1 - t, t]
    elif n_values == 3:
        columns = [(1 - t) ** 2, 2 * t * (1 - t), t * t]
    else:
        columns = [0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t * t]
    return first[:, None] + np.arange(len(columns)), np.stack(columns, axis=1)


def spline_slopes(u: np.ndarray, n_values: int) -> np.ndarray:
    """Derivatives (n, m) of the weights of `spline_weights` with respect to the coordinates u (n,), from within at the ends."""
    _, t = _pieces(u, n_values)
    # With three coefficients t is half of u.
    return np.stack([-np.ones_like(t), np.ones_like(t)] if n_values == 2 else [t - 1, 1 - 2 * t, t], axis=1)


def _pieces(u: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """In which piece of a spline coordinates are, and where in it, from 0 to 1."""
    u = np.asarray(u, dtype=np.float64)
    if u.ndim != 1:
        raise ShapeError(f"spline coordinates must be one-dimensional, not {u.shape}")
    if n_values < 2:
        raise ValueError(f"a spline needs at least two values, not {n_values}")
    pieces = max(n_values - 2, 1)
    u = np.clip(u / 2 if n_values == 3 else u, 0.0, pieces)
    first = np.minimum(u.astype(np.int64), pieces - 1)
    return first, u - first


@dataclass(frozen=True)
class Smoother:
    """Samples spread over a range of a coordinate.

    Attributes
    ----------
    start, stop : float
        The range covered.
    n_intervals : int
        Number of intervals it is divided into.

    """

    start: float
    stop: float
    n_intervals: int

    @property
    def n_values(self) -> int:
        """Number of samples."""
        return n_samples(self.n_intervals)

    @property
    def spacing(self) -> float:
        """Distance between samples, in units of the coordinate."""
        return (self.stop - self.start) / self.n_intervals

    @property
    def positions(self) -> np.ndarray:
        """(n_values,) float64: coordinates of the samples."""
        return np.asarray(self.start + sample_positions(self.n_values) * self.spacing)

    def weights(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices and weights of the samples at coordinates x (n,); see `smoother_weights`."""
        return smoother_weights((np.asarray(x, dtype=np.float64) - self.start) / self.spacing, self.n_values)

    def values(self, x: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Smoothed values at x (n,), shape (n, ...), of samples (n_values, ...)."""
        indices, weights = self.weights(x)
        return np.asarray(np.einsum("nm,nm...->n...", weights, np.asarray(samples)[indices]))


class Spline(Smoother):
    """Coefficients of a quadratic spline spread over a range of a coordinate; `positions` are where each counts most."""

    def weights(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices and weights of the coefficients at coordinates x (n,); see `spline_weights`."""
        return spline_weights((np.asarray(x, dtype=np.float64) - self.start) / self.spacing, self.n_values)

    def slopes(self, x: np.ndarray) -> np.ndarray:
        """Derivatives (n, m) of the weights at coordinates x (n,); see `spline_slopes`."""
        u = (np.asarray(x, dtype=np.float64) - self.start) / self.spacing
        return spline_slopes(u, self.n_values) / self.spacing
