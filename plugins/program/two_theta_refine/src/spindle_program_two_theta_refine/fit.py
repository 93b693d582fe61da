"""Least squares of a reciprocal metric against scattering angles.

With the elements g of the metric, sin^2 theta = (lambda / 2)^2 h.g.h is linear in g; 2theta, in which the errors are alike for
all reflections, is nearly so. A few Gauss-Newton steps are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle_lib_refinement.metric import index_products

__all__ = ["MetricFit", "UndeterminedCell", "calculated_two_theta", "fit_metric", "two_theta_slopes"]

MAX_STEPS = 20
CONVERGED = 1e-10  # relative change of the parameters
SINGULAR = 1e-12  # smallest eigenvalue of the normal matrix, scaled to ones on its diagonal
BLOCK = 2**18


class UndeterminedCell(ValueError):
    """The reflections leave an element of the metric open."""


@dataclass(frozen=True)
class MetricFit:
    """The result of `fit_metric`.

    Attributes
    ----------
    values : (k,) float64, 1/angstrom^2
        Independent elements of the metric.
    covariance : (k, k) float64
    residuals : (n,) float64, radians
        2theta, calculated less observed.
    rmsds : list of float, radians
        Before the first step and after each.
    correlations : list of (k, k) float64
        Of the parameters, at the same steps.
    """

    values: np.ndarray
    covariance: np.ndarray
    residuals: np.ndarray
    rmsds: list[float]
    correlations: list[np.ndarray]


def calculated_two_theta(products: np.ndarray, metric: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """(n,) float64, radians: 2theta from `index_products` (n, 6), the metric's elements (6,) and wavelengths (n,); nan beyond 180 degrees."""
    with np.errstate(invalid="ignore"):
        return np.asarray(2.0 * np.arcsin(0.5 * wavelength * np.sqrt(products @ metric)))


def fit_metric(
    hkl: np.ndarray, two_theta: np.ndarray, wavelength: np.ndarray, constraints: np.ndarray, start: np.ndarray
) -> MetricFit:
    """Refine the metric of one lattice.

    Parameters
    ----------
    hkl : (n, 3) int
    two_theta : (n,) float64, radians
        Observed.
    wavelength : (n,) float64, angstrom
    constraints : (6, k) float64
        Elements of the metric from the independent ones, as of `spindle_lib_refinement.metric.metric_constraints`.
    start : (k,) float64, 1/angstrom^2

    Returns
    -------
    MetricFit

    Raises
    ------
    UndeterminedCell
        If there are fewer reflections than parameters and one, or if they leave a parameter open.
    """
    n, k = len(hkl), len(start)
    if n <= k:
        raise UndeterminedCell(f"{n} reflections for {k} parameters")
    values = np.array(start)
    residuals, normal, gradient = _evaluate(hkl, two_theta, wavelength, constraints, values)
    rmsds, correlations = [_rms(residuals)], [_correlation(normal)]
    for _ in range(MAX_STEPS):
        step = np.linalg.solve(normal, -gradient)
        for _ in range(10):
            trial = _evaluate(hkl, two_theta, wavelength, constraints, values + step)
            if _rms(trial[0]) <= rmsds[-1] * (1 + 1e-9):
                break
            step = 0.5 * step
        else:
            break
        values = values + step
        residuals, normal, gradient = trial
        rmsds.append(_rms(residuals))
        correlations.append(_correlation(normal))
        if np.max(np.abs(step)) <= CONVERGED * np.max(np.abs(values)):
            break
    variance = float(residuals @ residuals) / (n - k)
    return MetricFit(values, variance * np.linalg.inv(normal), residuals, rmsds, correlations)


def two_theta_slopes(
    hkl: np.ndarray, wavelength: np.ndarray, constraints: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """(n, k) float64: derivatives of 2theta along the independent elements of the metric, arguments as of `fit_metric`."""
    products, metric = index_products(hkl), constraints @ values
    calculated = calculated_two_theta(products, metric, wavelength)
    # d(2theta) = lambda / cos(theta) d|q|, d|q| = d(|q|^2) / (2 |q|)
    slope = wavelength / (np.cos(0.5 * calculated) * 2.0 * np.sqrt(products @ metric))
    return np.asarray((products @ constraints) * slope[:, None])


def _evaluate(
    hkl: np.ndarray, two_theta: np.ndarray, wavelength: np.ndarray, constraints: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (n,), normal matrix (k, k) and gradient (k,)."""
    k = len(values)
    residuals, normal, gradient = np.empty(len(hkl)), np.zeros((k, k)), np.zeros(k)
    metric = constraints @ values
    for first in range(0, len(hkl), BLOCK):
        here = slice(first, first + BLOCK)
        calculated = calculated_two_theta(index_products(hkl[here]), metric, wavelength[here])
        residuals[here] = calculated - two_theta[here]
        jacobian = two_theta_slopes(hkl[here], wavelength[here], constraints, values)
        normal += jacobian.T @ jacobian
        gradient += jacobian.T @ residuals[here]
    if not np.isfinite(normal).all():
        return (
            np.full(len(hkl), np.inf),
            normal,
            gradient,
        )  # a step too far: a metric in which some reflection has no angle
    scale = np.sqrt(np.diag(normal))
    if not scale.all() or np.linalg.eigvalsh(normal / np.outer(scale, scale))[0] < SINGULAR:
        raise UndeterminedCell("they leave a parameter open")
    return residuals, normal, gradient


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _correlation(normal: np.ndarray) -> np.ndarray:
    covariance = np.linalg.inv(normal)
    sd = np.sqrt(np.diag(covariance))
    return np.asarray(covariance / np.outer(sd, sd))
