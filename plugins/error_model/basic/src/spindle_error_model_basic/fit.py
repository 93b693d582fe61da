"""Fits of the error model to the deviations of equivalents from their mean.

Evans & Murshudov (2013), Acta Cryst. D69, 1204-1214; Beilsten-Edmands et al. (2020), Acta Cryst. D76, 385-399.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

#: Groups whose mean I / variance is below this are too weak to tell about the strong ones.
MIN_SIGNAL = 0.85
#: Fewest observations for a fit.
MIN_OBSERVATIONS = 250
#: Part of the normal probability plot, in standard deviations, that a is fitted to.
CENTRAL_RANGE = 1.5


@dataclass(slots=True)
class Sample:
    """Observations that the model is fitted to, sorted by reflection.

    Attributes
    ----------
    intensity, variance, scale : (n,) float64
    group : (n,) int64
        Number of the reflection, ascending without gaps.
    multiplicity : (n,) int64
        Observations of the reflection.
    mean : (n,) float64
        <I> of the reflection.
    rows : (n,) int64
        Where the observations are in the arrays they were selected from.
    """

    intensity: np.ndarray
    variance: np.ndarray
    scale: np.ndarray
    group: np.ndarray
    multiplicity: np.ndarray
    mean: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.intensity)

    @property
    def expected(self) -> np.ndarray:
        """(n,) float64: g <I>."""
        return self.scale * self.mean

    def deviations(self, a: float, b: float) -> np.ndarray:
        """(n,) float64: (I / g - <I>) / (sigma' / g) times sqrt(n / (n - 1)), as the observation is part of its
        mean.
        """
        difference = self.intensity - self.expected
        return np.asarray(np.sqrt(self.multiplicity / (self.multiplicity - 1)) * difference / self.sigma(a, b))

    def sigma(self, a: float, b: float) -> np.ndarray:
        """(n,) float64: sigma' under the model, from the expected intensity."""
        return np.asarray(a * np.sqrt(self.variance + (b * self.expected) ** 2))


def means(
    intensity: np.ndarray, variance: np.ndarray, scale: np.ndarray, group: np.ndarray, n_groups: int
) -> np.ndarray:
    """(n_groups,) float64: sum w g I / sum w g^2 with w = 1 / variance."""
    weight = 1.0 / variance
    top = np.bincount(group, weight * scale * intensity, n_groups)
    bottom = np.bincount(group, weight * scale * scale, n_groups)
    return np.asarray(top / np.maximum(bottom, 1e-300))


def select(
    intensity: np.ndarray, variance: np.ndarray, scale: np.ndarray, offsets: np.ndarray, min_expected: float
) -> Sample | None:
    """Observations strong enough and of groups not too inconsistent; None when there are fewer than 250.

    Returns
    -------
    Sample or None
    """
    group = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    mean = means(intensity, variance, scale, group, len(offsets) - 1)[group]
    keep = _group_mean(intensity / variance, group)[group] > MIN_SIGNAL
    keep &= (scale * mean > min_expected) & (intensity > 0.001)
    columns = [intensity, variance, scale, group, mean, np.arange(len(intensity))]
    columns = _several([c[keep] for c in columns])
    if len(columns[0]) < MIN_OBSERVATIONS:
        return None
    intensity, variance, scale, group, mean, rows = columns
    n = np.bincount(group)[group]
    scatter = np.bincount(group, (intensity / scale - mean) ** 2)[group] / (n - 1)
    ratio = scatter / _group_mean(variance / scale**2, group)[group]
    keep = ratio < max(50.0, mean.max() / 40.0)
    columns = _several([c[keep] for c in columns])
    if len(columns[0]) < MIN_OBSERVATIONS:
        return None
    intensity, variance, scale, group, mean, rows = columns
    group = np.unique(group, return_inverse=True)[1]
    return Sample(intensity, variance, scale, group, np.bincount(group)[group], mean, rows)


def _group_mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    n = np.bincount(group)
    return np.asarray(np.bincount(group, values) / np.maximum(n, 1))


def _several(columns: list[np.ndarray]) -> list[np.ndarray]:
    """Rows whose group (column 3) still has more than one member."""
    group = columns[3]
    keep = np.bincount(group)[group] > 1 if len(group) else np.zeros(0, bool)
    return [c[keep] for c in columns]


def intensity_bins(expected: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each observation, 0 the strongest: logarithmic edges, sparse bins extended to weaker reflections.

    Returns
    -------
    (n,) int64
        -1 for observations in bins that stayed too small.
    """
    n = len(expected)
    fewest = min(250.0 if n <= 25000 else n / 100.0, n / (3.0 * n_bins))
    edges = np.geomspace(expected.max() * (1 + 1e-9), max(1.0, expected.min()), n_bins + 1)
    order = np.argsort(-expected)
    sorted_values = expected[order]
    bins = np.full(n, -1, dtype=np.int64)
    begin, number = 0, 0
    for edge in edges[1:]:
        end = int(np.searchsorted(-sorted_values, -edge, side="right"))
        if end - begin < fewest:
            end = min(n, begin + int(np.ceil(fewest)))
        if end - begin >= max(fewest - 5, 1):
            bins[order[begin:end]] = number
            number += 1
            begin = end
    return bins


def slope_of_normal_plot(deviations: np.ndarray) -> float:
    """Slope of the central part of the normal probability plot: 1 when the sigmas are right."""
    n = len(deviations)
    ranked = np.sort(deviations)
    first = max(int(np.ceil(special.ndtr(-CENTRAL_RANGE) * n - 0.5)), 0)
    last = min(int(np.ceil(special.ndtr(CENTRAL_RANGE) * n - 0.5)), n)
    x = special.ndtri((np.arange(first, last) + 0.5) / n)
    y = ranked[first:last]
    x = x - x.mean()
    return float((x @ y) / (x @ x))


def bin_variances(deviations: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """(n_bins,) float64: variance of the deviations in each bin."""
    use = bins >= 0
    n = np.bincount(bins[use])
    mean = np.bincount(bins[use], deviations[use]) / n
    return np.asarray(np.bincount(bins[use], deviations[use] ** 2) / n - mean**2)


def minimise_b(sample: Sample, a: float, bins: np.ndarray) -> float:
    """The b that makes the variances of the normalised deviations in all bins closest to one, strong bins weighing
    most.
    """
    use = bins >= 0
    weight = np.bincount(bins[use], sample.expected[use]) / np.bincount(bins[use])

    def target(log_b: float) -> float:
        v = np.maximum(bin_variances(sample.deviations(a, np.exp(log_b)), bins), 1e-12)
        return float((weight * ((0.5 - v) ** 2 + 1.0 / v - 1.25)).sum() / weight.sum())

    bounds = (np.log(1e-4), np.log(0.5))
    best = optimize.minimize_scalar(target, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def fit_individually(sample: Sample, n_bins: int, a: float | None, b: float | None) -> tuple[float, float] | None:
    """Alternate fits of a and b; fixed values are kept. None when a does not settle above 0.4."""
    bins = intensity_bins(sample.expected, n_bins)
    now_a, now_b = 1.0 if a is None else a, 0.02 if b is None else b
    if a is not None and b is not None:
        return a, b
    if a is not None:
        return a, minimise_b(sample, a, bins)
    settled = False
    for _ in range(20):
        before = now_a
        now_a *= slope_of_normal_plot(sample.deviations(now_a, now_b))
        if not now_a > 0:  # equivalents without any scatter
            return None
        if b is None:
            now_b = minimise_b(sample, now_a, bins)
        if settled:
            break
        settled = abs(now_a - before) < 0.01 * before
    return (now_a, now_b) if settled and now_a > 0.4 else None


def fit_regression(sample: Sample) -> tuple[float, float] | None:
    """Line y = a^2 x + a^2 b^2 through squared deviations / I^2 against variance / I^2; None when it has no sense."""
    square = sample.expected**2
    x = sample.variance / square
    y = sample.multiplicity / (sample.multiplicity - 1) * (sample.intensity - sample.expected) ** 2 / square
    weight = 1.0 / (x + 1e-4) ** 2
    mx, my = np.average(x, weights=weight), np.average(y, weights=weight)
    spread = (weight * (x - mx) ** 2).sum()
    if not spread > 1e-12 * (weight * x**2).sum():  # one kind of reflection tells no line
        return None
    slope = (weight * (x - mx) * (y - my)).sum() / spread
    intercept = my - slope * mx
    if slope <= 0:
        return None
    return float(np.sqrt(slope)), float(np.sqrt(max(intercept, 1e-8) / slope))
