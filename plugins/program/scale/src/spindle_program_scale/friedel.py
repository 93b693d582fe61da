"""Whether the intensities of Friedel mates differ, by the data."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .data import Observations

if TYPE_CHECKING:
    from .rounds import Scaler

__all__ = ["FriedelTest", "compare_friedel_mates", "decide_friedel"]

#: Differences of mates whose mean square exceeds that of equals by this, and by this many standard errors, are no chance.
LEAST_EXCESS = 0.1
LEAST_SIGNIFICANCE = 5.0
#: Larger squares of normalised differences count as this: a few wrong sigmas or outliers decide nothing.
LARGEST_SQUARE = 16.0
#: Fewer pairs of mates, or differences between observations of the same mate, decide nothing.
FEWEST_PAIRS = 50


@dataclass(frozen=True, slots=True)
class FriedelTest:
    """Normalised differences of Friedel mates, whose mean square is 1 when mates are equal.

    It is that of the differences over that of the deviations of observations from their own mates, so that sigmas which are wrong for
    both decide nothing, and few observations of the same mates leave it uncertain.

    Attributes
    ----------
    n : int
        Acentric reflections with both mates, measured several times in all, among them those that are measured best.
    mean_square : float
    significance : float
        Excess of the mean square over 1 in units of its standard error.
    relative : float
        Rms difference of mates over their rms mean, the errors subtracted.
    """

    n: int
    mean_square: float
    significance: float
    relative: float

    @property
    def differ(self) -> bool:
        """Whether mates are to be kept apart."""
        return self.n >= FEWEST_PAIRS and self.significance > LEAST_SIGNIFICANCE and self.mean_square > 1 + LEAST_EXCESS


def compare_friedel_mates(obs: Observations, whole: np.ndarray, variance: np.ndarray) -> FriedelTest:
    """Compare the means of mates.

    Parameters
    ----------
    obs : Observations
        With groups that keep mates apart.
    whole : (k,) int64
        Which reflection each group belongs to, both mates taken together.
    variance : (n,) float64
        Of the observations, from an error model that was fitted with mates apart.
    """
    index, k = obs.groups.index, obs.groups.n_groups
    weight = ~obs.outlier / variance
    bottom = np.bincount(index, weight * obs.g**2, k)
    mean = np.bincount(index, weight * obs.g * obs.intensity, k) / np.where(bottom > 0, bottom, 1.0)
    known = (bottom > 0) & ~obs.groups.centric
    places = np.flatnonzero(known[:-1] & known[1:] & (whole[:-1] == whole[1:]))
    errors = 1.0 / np.where(bottom > 0, bottom, 1.0)
    difference, spread = mean[places] - mean[places + 1], errors[places] + errors[places + 1]
    average = 0.5 * (mean[places] + mean[places + 1])
    # the better half: weak reflections say nothing about differences
    ratio = average / np.sqrt(spread)
    best = (ratio >= np.median(ratio)) & (average > 0) if len(ratio) else np.zeros(0, bool)
    within, freedom = _within(obs, weight, mean, np.isin(index, np.concatenate([places[best], places[best] + 1])))
    difference, spread, average = difference[best], spread[best], average[best]
    n = len(difference)
    if n < 2 or freedom < FEWEST_PAIRS or within <= 0:
        return FriedelTest(n, 1.0, 0.0, 0.0)
    squares = np.minimum(difference**2 / spread, LARGEST_SQUARE)
    mean_square = float(squares.mean()) / within
    real = (difference**2 - spread).sum() / (average * average).sum()
    error = np.sqrt(2.0 / n + 2.0 / freedom)
    return FriedelTest(n, mean_square, (mean_square - 1.0) / error, float(np.sqrt(max(real, 0.0))))


def _within(obs: Observations, weight: np.ndarray, mean: np.ndarray, rows: np.ndarray) -> tuple[float, int]:
    """Mean square of the normalised deviations of observations from the mean of their own mates, and its degrees of freedom."""
    index = obs.groups.index
    use = rows & (weight > 0)
    squares = np.minimum(weight[use] * (obs.intensity[use] - obs.g[use] * mean[index[use]]) ** 2, LARGEST_SQUARE)
    freedom = int(use.sum()) - len(np.unique(index[use]))
    return (float(squares.sum()) / freedom, freedom) if freedom > 0 else (1.0, 0)


def decide_friedel(scaler: Scaler) -> None:
    """Keep Friedel mates apart from here on when the data say that they differ."""
    obs, log = scaler.obs, scaler.context.log
    before = obs.groups, scaler.free, list(scaler.errors), obs.outlier
    obs.groups, whole = obs.groups.with_friedel_apart()
    scaler.free = scaler.free[whole]
    target = scaler.target
    if target is not None:
        scaler.target = target.parted(whole)
    scaler.reject()
    if scaler.use_error_model:
        scaler.refine_errors(log_level=logging.DEBUG)
        scaler.reject()
    test = scaler.friedel = compare_friedel_mates(obs, whole, scaler.corrected_variance())
    said = (
        f"their differences are {test.mean_square:.2f} times (mean square, {test.n} pairs) what their sigmas let expect"
    )
    if test.differ:
        log.info(
            "Friedel mates differ by %.1f %%: %s. They are kept apart in error model, outliers and statistics; anomalous=False compares "
            "them as equals", 100 * test.relative, said,
        )  # fmt: skip
        return
    obs.groups, scaler.free, scaler.errors, obs.outlier = before
    scaler.target = target
    if test.n >= FEWEST_PAIRS:
        log.info("Friedel mates are compared as equals: %s; anomalous=True keeps them apart", said)
