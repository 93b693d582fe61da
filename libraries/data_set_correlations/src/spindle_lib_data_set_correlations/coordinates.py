"""Data sets as vectors whose scalar products are their correlations.

Lengths tell how good a set is, angles how alike two of them are (Diederichs 2017, Acta Cryst. D73, 286-293); with a vector for each
way to index a set, symmetry and indexing show as vectors that coincide (Brehm & Diederichs 2014, D70, 101-109; Gildea & Winter 2018,
D74, 405-410).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .pairs import PairCorrelations

#: Dimensions are not tried further when two of them took less than this of what all before took.
FLAT = 0.02
#: A further dimension is needed while it takes more than this of the fall from the first to the last.
STEP = 0.1

__all__ = ["Coordinates", "best_dimension", "find_coordinates", "principal_axes"]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Vectors of data sets.

    Attributes
    ----------
    vectors : (n_operators, n_sets, dimension) float64
    residual : float
        Half the weighted sum of (cc - x.x')^2 over ordered pairs.
    tried : list of (int, float)
        Dimensions that were compared, with the residual of each.
    """

    vectors: np.ndarray
    residual: float
    tried: list[tuple[int, float]]

    @property
    def lengths(self) -> np.ndarray:
        """(n_operators, n_sets) float64: about sqrt(cc*) of each set."""
        return np.asarray(np.linalg.norm(self.vectors, axis=2))


class _Problem:
    """The residual and its gradient, for vectors of a given dimension."""

    def __init__(self, pairs: PairCorrelations, weights: np.ndarray) -> None:
        self.number = pairs.number
        self.cc = np.nan_to_num(pairs.cc)
        self.weights = weights
        self.shape = len(pairs.operators), pairs.n_sets

    def __call__(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(*self.shape, -1)
        gradient = np.zeros_like(x)
        total = 0.0
        for k in range(self.shape[0]):
            for l in range(k, self.shape[0]):
                place = self.number[k, l]
                rest = self.cc[place] - x[k] @ x[l].T
                weighted = self.weights[place] * rest
                part = float(np.vdot(weighted, rest))
                if k == l:
                    total += 0.5 * part
                    gradient[k] -= 2.0 * weighted @ x[k]
                else:
                    total += part
                    gradient[k] -= 2.0 * weighted @ x[l]
                    gradient[l] -= 2.0 * weighted.T @ x[k]
        return total, gradient.ravel()

    def without_extremes(self, x: np.ndarray) -> float:
        """Half the sum of the parts that are not above the median by more than the distance of the quartiles."""
        parts = []
        for k in range(self.shape[0]):
            for l in range(self.shape[0]):
                place = self.number[k, l]
                weights = self.weights[place]
                rest = self.cc[place] - x[k] @ x[l].T
                parts.append((weights * rest**2)[weights > 0])
        values = np.concatenate(parts)
        if not len(values):
            return 0.0
        low, middle, high = np.percentile(values, [25, 50, 75])
        return float(0.5 * values[values <= middle + (high - low)].sum())


def find_coordinates(
    pairs: PairCorrelations,
    weights: np.ndarray,
    dimension: int | None,
    rng: np.random.Generator,
    max_iterations: int | None = 100,
    max_calls: int | None = None,
    most: int | None = None,
    robust: bool = False,
) -> Coordinates:
    """Vectors that explain the correlations.

    Parameters
    ----------
    pairs : PairCorrelations
    weights : (n_operators, n_sets, n_sets) float64
        See `weights_of`.
    dimension : int or None
        None compares 1, 2, ... and takes the one after which the residual falls no faster than by noise.
    rng : Generator
        Draws the start.
    max_iterations, max_calls : int or None
        Of the minimiser (L-BFGS).
    most : int, optional
        Largest dimension to be compared; by default one more than the number of operators: unrelated indexings take as many
        dimensions, and the one after that shows what noise takes.
    robust : bool
        Compare dimensions by the correlations that are not far off only.

    Notes
    -----
    Vectors are known up to a common rotation or reflection.
    """
    problem = _Problem(pairs, weights)
    n_operators, n_sets = problem.shape
    options = {
        "maxiter": 15000 if max_iterations is None else max_iterations, "maxfun": 15000 if max_calls is None else max_calls
    }  # fmt: skip

    def rated(x: np.ndarray, residual: float) -> float:
        return problem.without_extremes(x) if robust else residual

    def solve(d: int) -> tuple[np.ndarray, float]:
        start = rng.random((n_operators, n_sets, d)).ravel()
        found = minimize(problem, start, jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(n_operators, n_sets, d), float(found.fun)

    if dimension is None:
        last = max(2, n_operators + 1 if most is None else most)
        last = min(last, max(2, n_operators * n_sets))
        if n_operators > 2 or most is not None:
            solved: dict[int, tuple[np.ndarray, float]] = {}
            tried: list[tuple[int, float]] = []
            for d in range(1, last + 1):
                solved[d] = solve(d)
                tried.append((d, rated(*solved[d])))
                if d > 4 and tried[-3][1] - tried[-1][1] < FLAT * (tried[0][1] - tried[-1][1]):
                    break
            dimension = max(2, best_dimension(tried))
            return Coordinates(*solved[dimension], tried)
        dimension = 2
    vectors, residual = solve(dimension)
    return Coordinates(vectors, residual, [(dimension, residual)])


def best_dimension(tried: Sequence[tuple[int, float]]) -> int:
    """The dimension at the elbow of the residuals.

    That is the one farthest below the line from the steepest one to the last, or a higher one where the next takes a good part of the
    whole fall still.

    Parameters
    ----------
    tried : sequence of (int, float)
        Dimensions, ascending, and their residuals.
    """
    d, y = np.array([t[0] for t in tried], dtype=np.float64), np.array([t[1] for t in tried], dtype=np.float64)
    if len(d) < 3 or not np.ptp(y) > 0:
        return int(d[0])
    start = int(np.argmin((y[-1] - y[:-1]) / (d[-1] - d[:-1])))
    x, z = (d[start:] - d[start]) / (d[-1] - d[start]), (y[start:] - y[-1]) / max(float(np.ptp(y)), 1e-300)
    drop = z[0] * (1.0 - x) - z  # below the chord; its direction is the same for all
    place = start + int(np.argmax(drop))
    while place + 1 < len(d) and y[place] - y[place + 1] > STEP * (y[0] - y[-1]):
        place += 1
    return int(d[place])


def principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors turned to their principal axes, and the fraction of the sum of squares along each.

    They are not centred, so that lengths and angles stay as they are.

    Parameters
    ----------
    vectors : (n, dimension) float64

    Returns
    -------
    turned : (n, dimension) float64
    fractions : (dimension,) float64
        Largest first.
    """
    _, s, vt = np.linalg.svd(vectors, full_matrices=False)
    total = float(np.sum(s**2))
    turned = vectors @ vt.T
    signs = np.where(turned.sum(axis=0) < 0, -1.0, 1.0)
    return turned * signs, (s**2 / total if total > 0 else np.zeros(len(s)))
