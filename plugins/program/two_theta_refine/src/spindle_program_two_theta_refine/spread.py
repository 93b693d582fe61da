"""The mean cell of crystals that differ.

One cell for all reflections counts a crystal of many reflections for much although it is one crystal, and its standard deviations are those of
angles: they know nothing of how cells differ. With a random part of each crystal's own (Laird & Ware 1982, Biometrics 38, 963-974) crystals count
alike as soon as they differ by more than each is known to, and the mean is as uncertain as so few crystals make it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .fit import MetricFit, two_theta_slopes

__all__ = ["CrystalSpread", "mean_of_crystals"]

MOST_ROUNDS = 300
SETTLED = 1e-4  # relative change of the covariance
#: Relative variance of metrics below which crystals are alike.
ALIKE = 1e-14


@dataclass(frozen=True)
class CrystalSpread:
    """How the metrics of crystals differ.

    Attributes
    ----------
    covariance : (k, k) float64, 1/angstrom^4
        Of one crystal about the mean, errors of its measurement not counted.
    n_crystals : int
    """

    covariance: np.ndarray
    n_crystals: int


def mean_of_crystals(
    fit: MetricFit, hkl: np.ndarray, wavelength: np.ndarray, constraints: np.ndarray, crystal: np.ndarray
) -> tuple[MetricFit, CrystalSpread | None]:
    """The mean over crystals, from a fit of one metric to all reflections.

    Parameters
    ----------
    fit : MetricFit
        Of `fit_metric` with the same reflections.
    hkl : (n, 3) int
    wavelength : (n,) float64, angstrom
    constraints : (6, k) float64
    crystal : (n,) int
        Number of the crystal of each reflection.

    Returns
    -------
    MetricFit
        With values and covariance of the mean; residuals and what the steps said are those of the fit.
    CrystalSpread or None
        None where there are fewer than two crystals.

    Notes
    -----
    About the fit everything is linear. Covariances are those of restricted maximum likelihood, by expectation and maximisation (Dempster, Laird &
    Rubin 1977, J. R. Stat. Soc. B39, 1-38), from normal equations, so that crystals count which leave an element open by themselves.
    """
    numbers, index = np.unique(crystal, return_inverse=True)
    m, k = len(numbers), len(fit.values)
    if m < 2:
        return fit, None
    unit = np.sqrt(np.maximum(np.abs(constraints @ fit.values).max(), 1e-300))
    slopes = two_theta_slopes(hkl, wavelength, constraints, fit.values) * unit**2  # elements near 1
    of_all = float(np.mean(fit.residuals**2))
    normal, right = np.empty((m, k, k)), np.empty((m, k))
    order = np.argsort(index, kind="stable")
    for i, rows in enumerate(np.split(order, np.cumsum(np.bincount(index, minlength=m))[:-1])):
        J, off = slopes[rows], -fit.residuals[rows]
        own = np.linalg.lstsq(J, off, rcond=1e-8)
        left = off - J @ own[0]
        free = len(rows) - int(own[2])
        # of crystals with hardly a reflection the scatter is that of all
        variance = (left @ left + of_all) / (max(free, 0) + 1)
        normal[i], right[i] = J.T @ J / variance, J.T @ off / variance
    shift, covariance, spread = _random_effects(normal, right)
    values = fit.values + shift * unit**2
    return replace(fit, values=values, covariance=covariance * unit**4), CrystalSpread(spread * unit**4, m)


def _random_effects(normal: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (k,), its covariance (k, k) and the covariance (k, k) of crystals about it, from their normal equations (m, k, k) and (m, k)."""
    k = right.shape[1]
    spread = np.eye(k) * 1e-6  # a thousandth
    mean, covariance = np.zeros(k), np.eye(k)
    for _ in range(MOST_ROUNDS):
        own = np.linalg.inv(normal + np.linalg.inv(spread))  # of a crystal's part, the mean given
        through = np.eye(k) - normal @ own
        covariance = np.linalg.inv((through @ normal).sum(axis=0))
        mean = covariance @ np.einsum("mij,mj->i", through, right)
        part = np.einsum("mij,mj->mi", own, right - normal @ mean)
        doubt = own @ normal
        new = (part[:, :, None] * part[:, None, :] + own + doubt @ covariance @ doubt.transpose(0, 2, 1)).mean(axis=0)
        new = 0.5 * (new + new.T) + ALIKE * np.eye(k)
        settled = np.abs(new - spread).max() <= SETTLED * np.abs(new).max()
        spread = new
        if settled:
            break
    return mean, covariance, spread
