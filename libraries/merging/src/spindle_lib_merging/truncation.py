"""Amplitudes from intensities with the knowledge that true intensities are positive and follow Wilson's distribution.

French & Wilson (1978), Acta Cryst. A34, 517-525.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

#: Below these values of h the measurement is too negative to be an intensity.
LOWEST_H = -4.0
LOWEST_RATIO_ACENTRIC = -3.7
#: Range of h that is tabulated; above, the expansions for large h are exact to 1e-5.
HIGHEST_H = 12.0
STEP = 0.02
LN2 = np.log(2.0)
#: Median of chi^2 with one degree of freedom: the median of centric I / <I>.
CENTRIC_MEDIAN = 0.454936


@dataclass(frozen=True, slots=True)
class Amplitudes:
    """Posterior means.

    Attributes
    ----------
    intensity, sigma_intensity : (n,) float64
        Positive intensities.
    amplitude, sigma_amplitude : (n,) float64
    rejected : (n,) bool
        Too negative to make sense; NaN in the other arrays.
    """

    intensity: np.ndarray
    sigma_intensity: np.ndarray
    amplitude: np.ndarray
    sigma_amplitude: np.ndarray
    rejected: np.ndarray


@lru_cache(maxsize=2)
def _table(centric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means of J and F = sqrt(J), and their standard deviations, in units of sigma and sqrt(sigma).

    The density is proportional to J^q exp(-(J - h)^2 / 2), q = -1/2 (centric) or 0 (acentric); with F = sqrt(J) the
    integrand is smooth, so that the trapezium rule converges exponentially.

    Returns
    -------
    h : (m,) float64
    moments : (m, 4) float64
        Mean J, sd J, mean F, sd F.
    """
    h = np.arange(LOWEST_H - 6.0, HIGHEST_H + STEP, STEP)
    f = np.linspace(0.0, np.sqrt(HIGHEST_H + 8.0), 500)
    j = f * f
    exponent = -0.5 * (j[None, :] - h[:, None]) ** 2
    density = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    if not centric:
        density *= f[None, :]  # dJ = 2 F dF
    density[:, 0] *= 0.5
    norm = density.sum(axis=1)
    mean_j, mean_f = (density * j).sum(axis=1) / norm, (density * f).sum(axis=1) / norm
    square_j, square_f = (density * j * j).sum(axis=1) / norm, mean_j
    moments = np.stack(
        [mean_j, np.sqrt(np.maximum(square_j - mean_j**2, 0)), mean_f, np.sqrt(np.maximum(square_f - mean_f**2, 0))],
        axis=1,
    )
    return h, moments


def _posterior(h: np.ndarray, centric: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean J, sd J, mean F, sd F (each (n,)) for sigma = 1."""
    grid, moments = _table(centric)
    j, sj, f, sf = (np.interp(h, grid, moments[:, k]) for k in range(4))
    large = h > HIGHEST_H
    if large.any():
        x = h[large]
        if centric:
            j[large] = x - 0.5 / x
            f[large] = np.sqrt(x) * (1 - 3 / (8 * x**2) - 87 / (128 * x**4))
        else:
            j[large] = x
            f[large] = np.sqrt(x) * (1 - 1 / (8 * x**2))
        sj[large] = 1.0
        sf[large] = 0.5 / np.sqrt(x)
    return j, sj, f, sf


def expected_intensity(
    intensity: npt.ArrayLike,
    d: npt.ArrayLike,
    epsilon: npt.ArrayLike,
    centric: npt.ArrayLike,
    n_bins: int | None = None,
) -> np.ndarray:
    """Mean intensity at the resolution of every reflection, epsilon included.

    Parameters
    ----------
    intensity : (n,) float
        Merged intensities.
    d : (n,) float, angstrom
    epsilon : (n,) float
    centric : (n,) bool
    n_bins
        Resolution bins of equal numbers; by default up to 60, of at least 40 reflections.

    Returns
    -------
    (n,) float64, positive

    Notes
    -----
    The mean of a bin comes from its median, which outliers and ice do not move, and is interpolated linearly in 1/d^3.
    """
    values = np.asarray(intensity, dtype=np.float64) / np.asarray(epsilon, dtype=np.float64)
    cubes = np.asarray(d, dtype=np.float64) ** -3.0
    n = len(values)
    bins = int(np.clip(n // 40, 1, 60)) if n_bins is None else n_bins
    order = np.argsort(cubes, kind="stable")
    centres, means = [], []
    is_centric = np.asarray(centric, dtype=bool)
    for part in np.array_split(order, bins):
        if len(part) == 0:
            continue
        median = LN2 + (CENTRIC_MEDIAN - LN2) * is_centric[part].mean()
        mean = np.median(values[part]) / median
        if mean <= 0:
            mean = max(values[part].mean(), 1e-3 * abs(values).mean())
        centres.append(cubes[part].mean())
        means.append(mean)
    return np.asarray(np.interp(cubes, centres, np.maximum(means, 1e-12)) * np.asarray(epsilon))


def french_wilson(
    intensity: npt.ArrayLike,
    sigma: npt.ArrayLike,
    centric: npt.ArrayLike,
    expected: npt.ArrayLike | None = None,
) -> Amplitudes:
    """Posterior intensities and amplitudes.

    Parameters
    ----------
    intensity, sigma : (n,) float
        Merged intensities and positive sigmas.
    centric : (n,) bool
    expected : (n,) float, optional
        Mean intensity expected for each reflection (`expected_intensity`); None: any positive value is equally likely.

    Returns
    -------
    Amplitudes
    """
    i = np.asarray(intensity, dtype=np.float64)
    s = np.asarray(sigma, dtype=np.float64)
    is_centric = np.asarray(centric, dtype=bool)
    pull = np.zeros(len(i)) if expected is None else s / np.asarray(expected, dtype=np.float64)
    h = i / s - np.where(is_centric, 0.5, 1.0) * pull
    rejected = (h < LOWEST_H) | (~is_centric & (i / s < LOWEST_RATIO_ACENTRIC)) | ~np.isfinite(h)
    out = [np.full(len(i), np.nan) for _ in range(4)]
    for kind in (False, True):
        rows = (is_centric == kind) & ~rejected
        if not rows.any():
            continue
        j, sj, f, sf = _posterior(h[rows], kind)
        root = np.sqrt(s[rows])
        for target, values in zip(out, (j * s[rows], sj * s[rows], f * root, sf * root), strict=True):
            target[rows] = values
    return Amplitudes(out[0], out[1], out[2], out[3], rejected)


#: Means above so many sigmas are believed as they are.
CERTAIN = 6.0


def believed_means(
    mean: np.ndarray, sigma: np.ndarray, d: np.ndarray, epsilon: np.ndarray, centric: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What to believe of merged intensities: where few equivalents tell little, less of their noise.

    Parameters
    ----------
    mean, sigma : (n,) float64
        Merged intensities.
    d : (n,) float64, angstrom
    epsilon : (n,) float64
    centric : (n,) bool

    Returns
    -------
    believed, usual : (n,) float64
        The mean of French and Wilson's posterior distribution, of those below six sigmas, never negative; the mean intensity at such a
        resolution.
    """
    believed, weak = np.maximum(mean, 0.0), mean < CERTAIN * sigma
    usual = expected_intensity(mean, d, epsilon, centric)
    if weak.any():
        with np.errstate(divide="ignore", invalid="ignore"):
            posterior = french_wilson(mean[weak], sigma[weak], centric[weak], usual[weak]).intensity
        believed[weak] = np.where(np.isfinite(posterior), posterior, believed[weak])
    return believed, usual
