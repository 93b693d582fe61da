"""How wide lattice points are across the Ewald sphere, from how intensities fall with the distance from it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from .rocking import FEWEST

__all__ = ["rescaled_spreads"]

#: Standard deviation, of a logarithm, of what spots say of the spreads: it decides where intensities say nothing.
DOUBT = 1.0
LEAST, MOST = 0.05, 20.0


def rescaled_spreads(
    distance: np.ndarray, parts: np.ndarray, d: np.ndarray, correction: np.ndarray, intensity: np.ndarray, variance: np.ndarray
) -> np.ndarray | None:  # fmt: skip
    """What the parts of the variances of lattice points across the sphere have to be multiplied by.

    Parameters
    ----------
    distance : (n,) float64, 1/angstrom
        From each point to the sphere.
    parts : (n, m) float64, 1/angstrom^2
        Parts of the variance of each across the sphere, as they were known before; their sum is positive.
    d : (n,) float64, angstrom
    correction : (n,) float64
        What intensities are multiplied by for polarisation and sensor, without a Lorentz factor.
    intensity, variance : (n,) float64
        Summed counts of all predictions, also the weak and the negative.

    Returns
    -------
    (m,) float64 or None
        None for fewer than 25 usable reflections.

    Notes
    -----
    True intensities follow Wilson's acentric distribution about G exp(-B / (2 d^2)); what is seen is such an intensity times the density
    of the point on the sphere, exp(-distance^2 / (2 v)) / sqrt(v), and Gaussian noise. The likelihood of a count is an exponential
    convolved with a normal distribution. Each factor is 1 with a standard deviation of its logarithm of 1 beforehand.
    """
    good = np.isfinite(distance) & np.isfinite(intensity) & (variance > 0) & (correction > 0) & (d > 0)
    good &= parts.sum(axis=1) > 0
    if np.count_nonzero(good) < FEWEST:
        return None
    x, noise, parts = 0.5 / d[good] ** 2, np.sqrt(variance[good]), parts[good]
    square, scaled, log_c = distance[good] ** 2, intensity[good] / noise, np.log(correction[good] * noise)
    m = parts.shape[1]
    before = parts.sum(axis=1)
    middle = float(np.median(before))

    def loss(v: np.ndarray) -> tuple[float, np.ndarray]:
        of_part = parts * np.exp(v[2:])
        whole = of_part.sum(axis=1)
        mean = np.exp(v[0] - v[1] * x - 0.5 * np.log(whole / middle) - 0.5 * square / whole - log_c)
        small = mean < 1e-3
        mean = np.maximum(mean, 1e-3)
        shift = scaled - 1 / mean
        log_share = log_ndtr(shift)
        value = np.sum(np.log(mean) - 0.5 / mean**2 + scaled / mean - log_share) + 0.5 * np.sum((v[2:] / DOUBT) ** 2)
        hazard = np.exp(-0.5 * shift**2 - log_share) / np.sqrt(2 * np.pi)
        slope = np.where(small, 0.0, 1 + 1 / mean**2 - scaled / mean - hazard / mean)
        by_whole = slope * 0.5 * (square / whole - 1) / whole
        gradient = np.concatenate([[slope.sum(), -(slope * x).sum()], by_whole @ of_part + v[2:] / DOUBT**2])
        return float(value), gradient

    level = np.log(max(float(np.mean(np.maximum(intensity[good], 0) * correction[good])), 1e-3))
    bounds = [(level - 15, level + 25), (-50.0, 200.0), *[(np.log(LEAST), np.log(MOST))] * m]
    start = np.concatenate([[level + 20 * float(x.mean()), 20.0], np.zeros(m)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(np.exp(found.x[2:]))
