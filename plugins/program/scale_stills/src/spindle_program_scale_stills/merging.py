"""Means of partial intensities with weights from what is expected, their errors, and how they grow better with the number of stills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle_lib_merging import correlation

from .observations import Observations

__all__ = ["ErrorTerms", "Halves", "Merge", "fit_errors", "halves_of", "merge"]

#: Variances never fall below this part of those of integration.
LEAST_VARIANCE = 0.1
#: Squared normalised deviations count as at most this in the fit of errors.
LARGEST_SQUARE = 36.0
#: Fewer deviations tell no error model.
FEWEST = 200


@dataclass(frozen=True, slots=True)
class ErrorTerms:
    """sigma'^2 = a2 sigma^2 + (g T)^2 (b2 + v): counting, a relative error, and the variance v of ln g from post-refinement.

    Notes
    -----
    Where stills and means are refined in turns until nothing changes, the means are those of the joint least-squares fit, whose variance
    is larger than 1 / sum w g^2 by the leverages w (g T)^2 v of the observations: v is added as if it were independent.
    """

    a2: float = 1.0
    b2: float = 0.01

    def variance(self, obs: Observations, g: np.ndarray, reference: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """(n,) float64: variances of the partial intensities; counts that are expected, not those that were seen."""
        expected = g * np.maximum(reference, 0.0)
        counting = obs.variance + obs.per_count * (expected - obs.value)
        counting = np.maximum(counting, LEAST_VARIANCE * obs.variance)
        return np.asarray(self.a2 * counting + expected**2 * (self.b2 + spread))


@dataclass(slots=True)
class Merge:
    """Means of unique reflections.

    Attributes
    ----------
    top, bottom : (m,) float64
        sum w g I and sum w g^2.
    weight : (n,) float64
        1 / variance of the partial intensities, 0 for what is left out.
    g : (n,) float64
    """

    top: np.ndarray
    bottom: np.ndarray
    weight: np.ndarray
    g: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(m,) float64; NaN without observations."""
        return np.divide(self.top, self.bottom, out=np.full(len(self.top), np.nan), where=self.bottom > 0)

    def of_others(self, obs: Observations) -> tuple[np.ndarray, np.ndarray]:
        """For each observation the mean of all others of its reflection, NaN without any, and its variance."""
        own = self.weight * self.g
        top = self.top[obs.index] - own * obs.value
        bottom = self.bottom[obs.index] - own * self.g
        known = bottom > 1e-9 * self.bottom[obs.index]
        known &= bottom > 0
        mean = np.divide(top, bottom, out=np.full(len(obs), np.nan), where=known)
        return mean, np.divide(1.0, bottom, out=np.full(len(obs), np.inf), where=known)


def merge(obs: Observations, g: np.ndarray, weight: np.ndarray) -> Merge:
    """Weighted means; see `Merge`."""
    own = weight * g
    m = obs.n_unique
    return Merge(np.bincount(obs.index, own * obs.value, m), np.bincount(obs.index, own * g, m), weight, g)


def fit_errors(obs: Observations, merged: Merge, spread: np.ndarray, use: np.ndarray, start: ErrorTerms) -> ErrorTerms:
    """The error terms by the squared deviations from the mean of the other stills: linear, non-negative, weighted, three times.

    Parameters
    ----------
    obs : Observations
    merged : Merge
    spread : (n,) float64
        Variance of ln g.
    use : (n,) bool
    start : ErrorTerms

    Notes
    -----
    Each still has been fitted to the means, which takes v (g T)^2 from the squares of its deviations; that is put back.
    """
    from scipy.optimize import nnls

    reference, variance = merged.of_others(obs)
    rows = np.flatnonzero(use & np.isfinite(reference))
    if len(rows) < FEWEST:
        return start
    g, t = merged.g[rows], np.maximum(reference[rows], 0.0)
    expected = g * t
    counting = obs.variance[rows] + obs.per_count[rows] * (expected - obs.value[rows])
    counting = np.maximum(counting, LEAST_VARIANCE * obs.variance[rows])
    of_mean = g**2 * variance[rows]
    terms = np.column_stack([counting, expected**2])
    found = np.array([start.a2, start.b2])
    taken = expected**2 * spread[rows]
    deviation = (obs.value[rows] - g * reference[rows]) ** 2
    for _ in range(5):
        total = terms @ found + of_mean
        squares = np.minimum(deviation, LARGEST_SQUARE * total) - of_mean + taken
        design = terms / total[:, None]
        normal = design.T @ design
        right = design.T @ (squares / total)
        size = 1.0 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
        scaled = normal * size[:, None] * size[None, :] + 1e-9 * np.eye(len(size))
        lower = np.linalg.cholesky(scaled)
        found = size * nnls(lower.T, np.linalg.solve(lower, size * right))[0]
        found[0] = max(found[0], 0.01)
    return ErrorTerms(float(found[0]), float(found[1]))


@dataclass(frozen=True, slots=True)
class Halves:
    """Agreement of the means of two halves of some stills.

    Attributes
    ----------
    n_stills, n_common : int
        Stills of both halves, and reflections that both have.
    cc_half, r_split : float
        Correlation of the means, and sqrt(1/2) sum |I1 - I2| / sum (I1 + I2) / 2 (White et al. 2012, J. Appl. Cryst. 45, 335).
    completeness : float
        Part of all measured unique reflections that the stills have.
    multiplicity : float
    """

    n_stills: int
    n_common: int
    cc_half: float
    r_split: float
    completeness: float
    multiplicity: float


def halves_of(
    obs: Observations,
    g: np.ndarray,
    weight: np.ndarray,
    stills: np.ndarray,
    rng: np.random.Generator,
    which: np.ndarray,
) -> Halves:
    """Split stills at random and compare the halves.

    Parameters
    ----------
    obs : Observations
    g, weight : (n,) float64
    stills : (k,) int64
    rng
        Random numbers.
    which : (m,) bool
        Unique reflections that count.
    """
    order = rng.permutation(stills)
    half = np.full(obs.n_stills, -1)
    half[order[::2]], half[order[1::2]] = 0, 1
    means, n = [], 0
    there = np.zeros(obs.n_unique, bool)
    for k in (0, 1):
        rows = np.flatnonzero((half[obs.still] == k) & (weight > 0))
        own, index = weight[rows] * g[rows], obs.index[rows]
        bottom = np.bincount(index, own * g[rows], obs.n_unique)
        top = np.bincount(index, own * obs.value[rows], obs.n_unique)
        means.append(np.divide(top, bottom, out=np.full(obs.n_unique, np.nan), where=bottom > 0))
        there |= bottom > 0
        n += int(which[index].sum())
    both = np.isfinite(means[0]) & np.isfinite(means[1]) & which
    first, second = means[0][both], means[1][both]
    total = float((first + second).sum()) / 2
    r_split = float(np.abs(first - second).sum() / np.sqrt(2.0) / total) if total > 0 else float("nan")
    seen = there & which
    return Halves(
        len(stills), int(both.sum()), correlation(first, second) if both.sum() > 2 else float("nan"), r_split,
        float(seen.sum()) / max(int(which.sum()), 1), n / max(int(seen.sum()), 1),
    )  # fmt: skip
