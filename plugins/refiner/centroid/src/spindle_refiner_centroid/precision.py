"""How exactly positions of spots are observed, learned from their residuals."""

from __future__ import annotations

import numpy as np

from .outliers import without_drift
from .target import Observations

#: Spots of an experiment that make it worth while, and in each class of them.
FEWEST, IN_A_CLASS, MOST_CLASSES = 1000, 100, 30
#: Standard deviation of a normal distribution over its median absolute deviation.
NORMAL = 1.4826


def learned_weights(observations: Observations, residuals: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Weights of the coordinates of spots, 1 / variance as their residuals scatter.

    Parameters
    ----------
    observations : Observations
    residuals : (n, 3) float64
        Calculated minus observed.
    spread : (n,) float64
        Variance of the place on the detector by counting statistics: spots are graded by it.

    Returns
    -------
    (n, 3) float64
        As they are in experiments with few spots.

    Notes
    -----
    The variances that come with spots add those of a pixel's width (1/12 px^2) to those of counting: weak and strong spots then have
    nearly equal weights, though they scatter by 0.25 and 0.02 px. Spots are divided into classes of equal numbers by their spread; the
    median absolute deviations of the classes, made to rise with it (isotonic regression by pooling neighbours: Barlow et al. 1972), are
    the standard deviations.
    """
    weights = observations.weights.copy()
    level = without_drift(observations, residuals)
    for experiment in np.unique(observations.experiment):
        rows = np.flatnonzero(observations.experiment == experiment)
        if len(rows) < FEWEST:
            continue
        rows = rows[np.argsort(spread[rows], kind="stable")]
        own = spread[rows]
        starts = np.linspace(0, len(rows), min(len(rows) // IN_A_CLASS, MOST_CLASSES), endpoint=False).astype(int)
        # Spots of equal spread are of one class.
        starts = np.searchsorted(own, np.unique(own[starts]))
        middle = np.array([np.median(part) for part in np.split(own, starts[1:])])
        for column in range(3):
            off = np.abs(level[rows, column] - np.median(level[rows, column]))
            sd = _rising(np.array([NORMAL * np.median(part) for part in np.split(off, starts[1:])]))
            if sd[0] > 0:
                weights[rows, column] = np.interp(own, middle, sd) ** -2.0
    return weights


def _rising(values: np.ndarray) -> np.ndarray:
    """The nearest sequence (n,) that does not fall: neighbours that do are replaced by their mean."""
    pools: list[tuple[float, int]] = []
    for value in values.tolist():
        pools.append((value, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m), (b, n) = pools[-2:]
            pools[-2:] = [((m * a + n * b) / (m + n), m + n)]
    return np.repeat([p[0] for p in pools], [p[1] for p in pools])
