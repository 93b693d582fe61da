"""Outliers by robust Mahalanobis distance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.params import Float, Int
from spindle.params import Params as ParamsBase

from .corrections import chi_squared_quantile, consistency_factor, small_sample_factor, subset_size
from .kernels import concentrate

SEED = 42
# Relative differences below this are rounding.
ROUNDING = 1e-12
BLOCK = 2**17  # rows whose distances are worked out at a time
KEPT = 10


class RobustCovariance(NamedTuple):
    """Raw minimum covariance determinant estimate.

    Attributes
    ----------
    mean : (p,) float64
    covariance : (p, p) float64
        Covariance of the best subset, not corrected.
    determinant : float
    h : int
        Size of the subset.

    """

    mean: np.ndarray
    covariance: np.ndarray
    determinant: float
    h: int


class _Trials:
    """A set of estimates that concentration steps improve."""

    def __init__(self, size: int, p: int) -> None:
        self.means = np.zeros((size, p))
        self.covariances = np.zeros((size, p, p))
        self.determinants = np.full(size, np.inf)

    def best(self, count: int) -> _Trials:
        order = np.argsort(self.determinants, kind="stable")[:count]
        out = _Trials(len(order), self.means.shape[1])
        out.means[:], out.covariances[:] = self.means[order], self.covariances[order]
        # Steps on other data start a new sequence of determinants; trials that found no start stay out.
        out.determinants[:] = np.where(np.isfinite(self.determinants[order]), np.inf, np.nan)
        keep = ~np.isnan(out.determinants)
        out.means, out.covariances, out.determinants = out.means[keep], out.covariances[keep], out.determinants[keep]
        return out

    def run(self, data: np.ndarray, h: int, steps: int, starts: np.ndarray | None = None) -> None:
        empty = np.zeros((0, 0), dtype=np.int64)
        concentrate(
            data,
            empty if starts is None else starts,
            starts is not None,
            h,
            steps,
            self.means,
            self.covariances,
            self.determinants,
        )


def minimum_covariance_determinant(data: np.ndarray, params: Any) -> RobustCovariance | None:
    """Mean and covariance of the h rows of data (n, p) with the smallest covariance determinant found; None if all are
    singular.

    Notes
    -----
    Small samples: random starts, `k1` steps, the best ten to convergence. Large ones: the same within groups, then on
    their union, then on everything. Rousseeuw & van Driessen (1999), Technometrics 41, 212-223.

    """
    data = np.ascontiguousarray(data, dtype=np.float64)
    n, p = data.shape
    rng = np.random.default_rng(SEED)
    h = subset_size(n, p, params.alpha)

    def random_starts(size: int, count: int) -> np.ndarray:
        length = min(size, p + 11)
        return (
            np.argsort(rng.random((count, size)), axis=1)[:, :length]
            if size <= 64
            else _distinct(rng, size, count, length)
        )

    if n < 2 * params.min_group_size:
        trials = _Trials(params.n_trials, p)
        trials.run(data, h, params.k1, random_starts(n, params.n_trials))
        trials = trials.best(KEPT)
        trials.run(data, h, params.k3)
    else:
        n_groups = min(n // params.min_group_size, params.max_n_groups)
        sample = (
            rng.permutation(n)[: n_groups * params.min_group_size]
            if n > n_groups * params.min_group_size
            else rng.permutation(n)
        )
        gathered = _Trials(0, p)
        per_group = max(params.n_trials // n_groups, 1)
        for members in np.array_split(sample, n_groups):
            part = np.ascontiguousarray(data[members])
            trials = _Trials(per_group, p)
            trials.run(part, subset_size(len(part), p, params.alpha), params.k1, random_starts(len(part), per_group))
            gathered = _joined(gathered, trials.best(KEPT))
        merged = np.ascontiguousarray(data[sample])
        gathered.determinants[:] = np.inf
        gathered.run(merged, subset_size(len(merged), p, params.alpha), params.k2)
        trials = gathered.best(1 if n > 5000 else KEPT)
        trials.run(data, h, params.k3)
    if len(trials.determinants) == 0 or not np.isfinite(trials.determinants).any():
        return None
    best = int(np.argmin(trials.determinants))
    return RobustCovariance(trials.means[best], trials.covariances[best], float(trials.determinants[best]), h)


def _distinct(rng: np.random.Generator, size: int, count: int, length: int) -> np.ndarray:
    """(count, length) int64: rows of distinct numbers below size; rows with repeats are drawn again."""
    rows = rng.integers(0, size, (count, length))
    while True:
        ordered = np.sort(rows, axis=1)
        bad = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        if len(bad) == 0:
            return rows
        rows[bad] = rng.integers(0, size, (len(bad), length))


def _joined(a: _Trials, b: _Trials) -> _Trials:
    out = _Trials(len(a.means) + len(b.means), b.means.shape[1])
    out.means[:] = np.concatenate([a.means, b.means])
    out.covariances[:] = np.concatenate([a.covariances, b.covariances])
    return out


class McdOutlier(Algorithm):
    """Mahalanobis distances from the minimum covariance determinant estimate."""

    citations = (
        Citation(
            "Rousseeuw, P. J. & Van Driessen, K.",
            1999,
            "A fast algorithm for the minimum covariance determinant estimator",
            "Technometrics",
            "41",
            "212-223",
            "10.1080/00401706.1999.10485670",
        ),
    )

    class Params(ParamsBase):
        """Rejection by robust Mahalanobis distance."""

        alpha = Float(
            0.5,
            min=0,
            max=1,
            level=1,
            help="Fraction of the data that the centre and covariance come from: 0.5 is most robust.",
        )
        max_n_groups = Int(
            5, min=1, max=1000, level=1, help="Most groups that large samples are divided into at first."
        )
        min_group_size = Int(300, min=100, level=1, help="Size of those groups.")
        n_trials = Int(500, min=1, max=100_000, level=1, help="Random starts.")
        k1 = Int(2, min=1, max=1000, level=1, help="Concentration steps of every start.")
        k2 = Int(2, min=1, max=1000, level=1, help="Concentration steps on the union of the groups.")
        k3 = Int(100, min=1, max=100_000, level=1, help="Most concentration steps at the end.")
        threshold_probability = Float(
            0.975, min=0, max=1, level=1, help="Quantile of chi-squared beyond which a spot is an outlier."
        )

    @hookimpl
    def find_outliers(self, residuals: np.ndarray) -> np.ndarray:
        """Outliers by robust distance; see `spindle.contracts.outlier.OutlierSpec.find_outliers`."""
        n = len(residuals)
        if n == 0:
            return np.zeros(0, dtype=bool)
        # Residuals in mm and radians: the same numerical weight for each. A column in which half of the rows are alike
        # (but for rounding) has no spread to compare with and would make every covariance singular.
        middle = np.median(residuals, axis=0)
        scale = np.median(np.abs(residuals - middle), axis=0)
        spread = scale > ROUNDING * np.abs(middle)
        p = int(spread.sum())
        if p == 0 or n < 2 * p + 2:
            return np.zeros(n, dtype=bool)
        data = residuals[:, spread] / scale[spread]
        found = minimum_covariance_determinant(data, self.params)
        if found is None or found.determinant <= 0:
            return np.zeros(n, dtype=bool)
        alpha = self.params.alpha
        covariance = found.covariance * consistency_factor(found.h / n, p) * small_sample_factor(n, p, alpha)
        limit = chi_squared_quantile(self.params.threshold_probability, p)
        outliers = np.empty(n, dtype=bool)
        for start in range(0, n, BLOCK):
            centred = data[start : start + BLOCK] - found.mean
            distances = np.einsum("ij,ij->i", centred, np.linalg.solve(covariance, centred.T).T)
            outliers[start : start + BLOCK] = distances > limit
        return outliers
