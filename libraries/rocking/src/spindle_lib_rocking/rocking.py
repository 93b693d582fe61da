"""The rocking width of a still, from how intensities fall with the distance of points from the Ewald sphere."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

__all__ = ["FEWEST", "rocking_width", "still_partiality"]

FEWEST = 25  # reflections that tell three numbers
LEAST_RAD = 1e-5


def still_partiality(turn: np.ndarray, sigma: float) -> np.ndarray:
    """(n,): density of a Gaussian rocking curve at angles turn (n,) from its middle, relative to its top; 1 for sigma 0."""
    if not sigma > 0:
        return np.ones(len(turn))
    return np.asarray(np.exp(-0.5 * (turn / sigma) ** 2))


def rocking_width(
    turn: np.ndarray, d: np.ndarray, correction: np.ndarray, intensity: np.ndarray, variance: np.ndarray
) -> float | None:
    """Standard deviation of the rocking curve of a still, radians, by maximum likelihood.

    Parameters
    ----------
    turn : (n,) float64, radian
        Angle of each point from the Ewald sphere; the width is found where turns reach beyond it.
    d : (n,) float64, angstrom
    correction : (n,) float64
        What intensities are multiplied by for Lorentz factor, polarisation, sensor.
    intensity, variance : (n,) float64
        Summed counts of all predictions, also the weak and the negative.

    Returns
    -------
    float or None
        None for fewer than 25 usable reflections.

    Notes
    -----
    True intensities follow Wilson's acentric distribution about G exp(-B / (2 d^2)); what is seen is such an intensity times
    exp(-turn^2 / (2 sigma^2)) / correction, and Gaussian noise. The likelihood of a count is then an exponential convolved with a normal
    distribution, which is known in closed form. Unlike the turns of the spots that were found, it knows of the predictions that were not.
    """
    good = np.isfinite(turn) & np.isfinite(intensity) & (variance > 0) & (correction > 0) & (d > 0)
    if np.count_nonzero(good) < FEWEST:
        return None
    turn, x = turn[good], 0.5 / d[good] ** 2
    intensity, noise, log_c = intensity[good], np.sqrt(variance[good]), np.log(correction[good])
    widest = float(np.max(np.abs(turn)))
    if widest <= LEAST_RAD:
        return None
    scaled = intensity / noise

    def loss(v: np.ndarray) -> float:
        mean = np.exp(v[0] - v[1] * x - 0.5 * (turn * np.exp(-v[2])) ** 2 - log_c) / noise
        mean = np.maximum(mean, 1e-3)
        shift = scaled - 1 / mean
        return float(np.sum(np.log(mean) - 0.5 / mean**2 + scaled / mean - log_ndtr(shift)))

    level = np.log(max(float(np.mean(intensity * np.exp(log_c))), 1e-3))
    bounds = [(level - 15, level + 25), (-50.0, 200.0), (np.log(max(0.05 * widest, LEAST_RAD)), np.log(3 * widest))]
    starts = [(level + 20 * float(x.mean()), 20.0, np.log(share * widest)) for share in (0.3, 0.6)]
    found = [minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(found, key=lambda f: f.fun)
    return float(np.exp(best.x[2]))
