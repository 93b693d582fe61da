"""Intensities that change in proportion to dose, each reflection's by its own rate.

Diederichs, McSweeney & Ravelli (2003), Acta Cryst. D59, 903-909: with enough equivalents the intensity of each reflection is fitted by a line
along the dose and taken where it meets dose zero. How far rates are to be believed follows from how much they scatter: a rate k of a
reflection of the intensity I, in a shell of the mean intensity S, is drawn to zero as a normal deviate of the variance
rate^2 S (I + S / 10), since atoms that change add a random part to the structure factor; the rate is the most likely one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DamageLines", "DosedIntensities", "FreeTest", "damage_lines", "fit_rate", "free_test", "spread_of_slopes"]

#: Part of the mean intensity of its shell by which a reflection of no intensity may still change.
LEAST_PART = 0.1
#: Rates times the largest dose that are tried.
RATES = (1e-3, 3.0)
#: Reflections of a shell of mean intensities, and most shells.
GROUPS_PER_SHELL, MOST_SHELLS = 100, 20
#: Free reflections must be predicted better by so many standard errors.
SURE = 3.0
#: Fewest observations of free reflections that can prove anything.
FEWEST_FREE = 100


@dataclass(frozen=True, slots=True)
class DosedIntensities:
    """Observations of reflections at their doses.

    Attributes
    ----------
    group : (n,) int64
        Reflection of each observation.
    intensity, variance : (n,) float64
        Scaled.
    dose : (n,) float64
    use : (n,) bool
        Observations that count.
    spread : (m,) float64
        Of each reflection, by `spread_of_slopes`.
    """

    group: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    dose: np.ndarray
    use: np.ndarray
    spread: np.ndarray

    @property
    def n_reflections(self) -> int:
        """Number of reflections."""
        return len(self.spread)


@dataclass(slots=True)
class DamageLines:
    """Observations with what a line along the dose through the equivalents of each reflection makes of them.

    Attributes
    ----------
    rate : float
        Relative rms change of an intensity per unit of dose.
    slope : (m,) float64
        Of each reflection, drawn to zero where little is known of it.
    mean : (m,) float64
        At dose zero.
    inflation : (m,) float64
        Variance of that mean over the variance of a mean that does not change; at least 1.
    residual : (n,) float64
        Observation minus line.
    freedom : (n,) float64
        Expected square of the residual over the variance of the observation.
    """

    rate: float
    slope: np.ndarray
    mean: np.ndarray
    inflation: np.ndarray
    residual: np.ndarray
    freedom: np.ndarray


@dataclass(frozen=True, slots=True)
class FreeTest:
    """How well observations of reflections that did not tell the rate are predicted from their equivalents.

    Attributes
    ----------
    without, with_lines : float
        Rms of observation minus prediction over the error of the observation: by the mean of the other equivalents, and by their line.
    gain, error : float
        Mean gain in log likelihood of an observation, and its standard error.
    n, n_reflections : int
    """

    without: float
    with_lines: float
    gain: float
    error: float
    n: int
    n_reflections: int

    @classmethod
    def of_parts(cls, parts: Sequence[FreeTest]) -> FreeTest:
        """One test of several on different reflections."""
        said = [p for p in parts if p.n > 0]
        n = sum(p.n for p in said)
        if not n:
            return cls(np.nan, np.nan, 0.0, np.nan, 0, 0)
        share = [p.n / n for p in said]
        without, with_lines, gain, error = (
            sum(f * v for f, v in zip(share, values, strict=True))
            for values in (
                [p.without**2 for p in said], [p.with_lines**2 for p in said], [p.gain for p in said],
                [f * p.error**2 for f, p in zip(share, said, strict=True)],
            )
        )  # fmt: skip
        return cls(
            float(np.sqrt(without)),
            float(np.sqrt(with_lines)),
            float(gain),
            float(np.sqrt(error)),
            n,
            sum(p.n_reflections for p in said),
        )

    @property
    def proven(self) -> bool:
        """Whether the lines predict better, beyond chance."""
        return self.n >= FEWEST_FREE and self.with_lines < self.without and self.gain > SURE * self.error


@dataclass(slots=True)
class _Sums:
    """Sums of the equivalents of each reflection: weights, and second moments about the weighted means."""

    weight: np.ndarray
    y: np.ndarray
    x: np.ndarray
    xx: np.ndarray
    xy: np.ndarray


def _sums(obs: DosedIntensities) -> _Sums:
    use, m = obs.use, obs.n_reflections
    group, y, x = obs.group[use], obs.intensity[use], obs.dose[use]
    w = 1.0 / obs.variance[use]
    total = np.bincount(group, w, m)
    there = np.where(total > 0, total, 1.0)
    mean_y, mean_x = np.bincount(group, w * y, m) / there, np.bincount(group, w * x, m) / there
    dx, dy = x - mean_x[group], y - mean_y[group]
    return _Sums(total, mean_y, mean_x, np.bincount(group, w * dx * dx, m), np.bincount(group, w * dx * dy, m))


def spread_of_slopes(mean: np.ndarray, d: np.ndarray) -> np.ndarray:
    """(m,) float64: variance of the rate of change of each reflection, for a relative rate of 1.

    Parameters
    ----------
    mean : (m,) float64
        Intensities; NaN where there is none.
    d : (m,) float64, angstrom
    """
    known = np.flatnonzero(np.isfinite(mean))
    known = known[np.argsort(d[known], kind="stable")]
    shells = np.array_split(known, int(np.clip(len(known) // GROUPS_PER_SHELL, 1, MOST_SHELLS)))
    shells = [rows for rows in shells if len(rows)]
    if not shells:
        return np.zeros(len(mean))
    x = [float((d[rows] ** -2.0).mean()) for rows in shells]
    level = [max(float(mean[rows].mean()), 1e-30) for rows in shells]
    order = np.argsort(x)
    usual = np.exp(np.interp(d**-2.0, np.asarray(x)[order], np.log(level)[order]))
    return np.asarray(usual * (np.maximum(np.where(np.isfinite(mean), mean, 0.0), 0.0) + LEAST_PART * usual))


def fit_rate(obs: DosedIntensities) -> float:
    """The most likely relative rate of change.

    Parameters
    ----------
    obs : DosedIntensities

    Returns
    -------
    float
        Per unit of dose; 0 where equivalents scatter no more than without it.
    """
    sums, spread = _sums(obs), obs.spread
    telling = (sums.xx > 0) & (spread > 0)
    xx, xy, spread = sums.xx[telling], sums.xy[telling], spread[telling]
    largest = float(np.ptp(obs.dose[obs.use])) if obs.use.any() else 0.0
    if not len(xx) or not largest > 0:
        return 0.0

    def likelihood(rate: float) -> float:
        prior = rate * rate * spread
        return 0.5 * float((xy * xy * prior / (1.0 + prior * xx) - np.log1p(prior * xx)).sum())

    tried = np.geomspace(*RATES, 40) / largest
    values = [likelihood(r) for r in tried]
    best = int(np.argmax(values))
    if values[best] <= 0.0:
        return 0.0
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    finer = np.geomspace(low, high, 40)
    return float(finer[int(np.argmax([likelihood(r) for r in finer]))])


def damage_lines(obs: DosedIntensities, rate: float) -> DamageLines:
    """Lines along the dose through the equivalents of each reflection, for a relative rate of change; level ones for 0.

    Observations that do not count have the residual of an observation outside, and a freedom above 1.
    """
    group, x, sums = obs.group, obs.dose, _sums(obs)
    prior = rate * rate * obs.spread
    inverse = prior / (1.0 + prior * sums.xx)  # variance of the slope
    slope = sums.xy * inverse
    mean = np.where(sums.weight > 0, sums.y - slope * sums.x, np.nan)
    inflation = 1.0 + sums.weight * sums.x**2 * inverse
    residual = obs.intensity - mean[group] - slope[group] * x
    there = np.where(sums.weight > 0, sums.weight, np.inf)
    leverage = (1.0 / there[group] + (x - sums.x[group]) ** 2 * inverse[group]) / obs.variance
    return DamageLines(rate, slope, mean, inflation, residual, np.where(obs.use, 1.0 - leverage, 1.0 + leverage))


def free_test(obs: DosedIntensities, free: np.ndarray, rate: float) -> FreeTest:
    """Predict each observation of free reflections from its equivalents, by their mean and by their line.

    Parameters
    ----------
    obs : DosedIntensities
    free : (m,) bool
        Reflections that did not tell the rate.
    rate : float

    Notes
    -----
    With h the leverage of an observation in the fit of all, its residual from the fit of the others is residual / (1 - h), and the variance of
    that is variance / (1 - h).
    """
    lines, level, group = damage_lines(obs, rate), damage_lines(obs, 0.0), obs.group
    chosen = np.flatnonzero(obs.use & free[group] & (level.freedom > 1e-9) & (lines.freedom > 1e-9))
    if not len(chosen):
        return FreeTest(np.nan, np.nan, 0.0, np.nan, 0, 0)
    scores, squares = [], []
    for fit in (level, lines):
        left = fit.residual[chosen] ** 2 / (obs.variance[chosen] * fit.freedom[chosen])  # squared, over its variance
        scores.append(-0.5 * (left - np.log(fit.freedom[chosen])))
        squares.append(float((left / fit.freedom[chosen]).mean()))
    gains = np.bincount(group[chosen], scores[1] - scores[0], obs.n_reflections)
    reflections = np.unique(group[chosen])
    per_reflection = gains[reflections]
    n = len(chosen)
    error = float(per_reflection.std(ddof=1) * np.sqrt(len(reflections)) / n) if len(reflections) > 1 else np.inf
    return FreeTest(
        float(np.sqrt(squares[0])),
        float(np.sqrt(squares[1])),
        float(per_reflection.sum() / n),
        error,
        n,
        len(reflections),
    )
