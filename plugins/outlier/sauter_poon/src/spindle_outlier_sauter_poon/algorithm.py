"""Outliers beyond the Rayleigh distribution of well-predicted spots."""

from __future__ import annotations

import logging
import math

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.params import Auto, Bool, Floats, Str
from spindle.params import Params as ParamsBase

log = logging.getLogger(__name__)

FITTED_FRACTION = 0.4
FEWEST_FITTED = 4


def fit_rayleigh(distances: np.ndarray, cdf: np.ndarray) -> float:
    """Width sigma for which 1 - exp(-r^2 / 2 sigma^2) is closest to `cdf` (least squares) at sorted distances (n,).

    Gauss-Newton on log sigma from the moment estimate, halving steps that go astray.

    """
    t = math.log(math.sqrt(0.5 * float((distances**2).mean()) / max(float(-np.log1p(-cdf).mean()), 1e-3)) + 1e-300)

    def misfit(t: float) -> tuple[float, np.ndarray, np.ndarray]:
        a = 0.5 * (distances * math.exp(-t)) ** 2
        e = np.exp(-a)
        residual = 1.0 - e - cdf
        return float(residual @ residual), residual, -2.0 * a * e

    value, residual, slope = misfit(t)
    for _ in range(100):
        curvature = float(slope @ slope)
        if curvature <= 0:
            break
        step = -float(slope @ residual) / curvature
        while True:
            new, new_residual, new_slope = misfit(t + step)
            if new <= value or abs(step) < 1e-14:
                break
            step *= 0.5
        t, value, residual, slope = t + step, new, new_residual, new_slope
        if abs(step) < 1e-12:
            break
    return math.exp(t)


def rejection_distance(distances: np.ndarray) -> tuple[float, float]:
    """Distance from which spots are outliers (infinite if none is), and the fitted Rayleigh width.

    Parameters
    ----------
    distances : (n,) float64
        Lengths of the residuals, in any order.

    Notes
    -----
    The spots that the distribution is fitted to are the bulk by definition, so the search begins beyond them: with
    residuals that all are alike (an offset of the whole group) the shortest ones exceed what a Rayleigh distribution
    expects of them.
    """
    ordered = np.sort(distances)
    n = len(ordered)
    fitted = int(FITTED_FRACTION * n)
    if fitted < FEWEST_FITTED or ordered[fitted - 1] <= 0:
        return math.inf, math.nan
    cdf = np.arange(n) / n
    sigma = fit_rayleigh(ordered[:fitted], cdf[:fitted])
    spread = sigma * math.sqrt((4.0 - math.pi) / 2.0)
    expected = sigma * np.sqrt(-2.0 * np.log1p(-cdf))
    beyond = np.flatnonzero((ordered - expected >= spread) & (ordered > ordered[fitted - 1]))
    return (float(ordered[beyond[0]]) if len(beyond) else math.inf), sigma


class SauterPoonOutlier(Algorithm):
    """Distances beyond the Rayleigh distribution of well-predicted spots."""

    citations = (
        Citation(
            "Sauter, N. K. & Poon, B. K.",
            2010,
            "Autoindexing with outlier rejection and identification of superimposed lattices",
            "J. Appl. Cryst.",
            "43",
            "611-616",
        ),
    )

    class Params(ParamsBase):
        """Rejection by comparison with a Rayleigh distribution."""

        px_sz = Floats(
            Auto,
            size=2,
            min=0.001,
            auto=True,
            level=1,
            units="mm",
            help="Pixel size with which residuals in pixels are weighed against each other; Auto: that of the panel.",
        )
        verbose = Bool(False, level=1, help="Log the fitted width and the limit.")
        pdf = Str(
            None,
            none=True,
            unavailable="the distributions are not drawn; verbose=True logs them",
            help="File for a plot of the distributions.",
        )

    @hookimpl
    def find_outliers(self, residuals: np.ndarray, pixel_size: np.ndarray) -> np.ndarray:
        """Outliers by distance on the detector; see `spindle.contracts.outlier.OutlierSpec.find_outliers`."""
        xy = residuals[:, :2]
        if self.params.px_sz is not Auto:
            xy = xy / pixel_size * np.asarray(self.params.px_sz)
        distances = np.sqrt((xy**2).sum(axis=1))
        limit, sigma = rejection_distance(distances)
        if self.params.verbose:
            log.info("Rayleigh width %.5f mm from %d spots; outliers from %.5f mm", sigma, len(distances), limit)
        return np.asarray(distances >= limit)
