"""What reference profiles are wrong by: learned from strong spots, and what it means for their intensities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ModelError", "blended", "model_error"]

LARGEST = 0.1
FEWEST = 30
MEDIAN_OF_CHI2 = 0.4549  # of one degree of freedom


@dataclass(frozen=True)
class ModelError:
    """What strong spots say of their profiles.

    Attributes
    ----------
    ratio : float
        Fits over sums.
    error : float
        Relative error of fits from the profile alone.
    """

    ratio: float = 1.0
    error: float = 0.0


def model_error(value: np.ndarray, variance: np.ndarray, summed: np.ndarray, summed_variance: np.ndarray) -> ModelError:
    """Learn what profiles are wrong by.

    A fit and the sum of the same pixels have the same photons: they differ by d, whose variance is the difference of theirs, since the
    fit is efficient. What d scatters by beyond that, in proportion to the intensity, is the profile's error, in its shape and in the
    part of it that the foreground holds. The median of d^2 / (variance + error^2 I^2) is made that of chi^2, in the brightest third of
    the spots; sums are brought onto the scale of the fits before by the median of the ratios.

    Parameters
    ----------
    value, variance, summed, summed_variance : (n,) float64
        Of strong spots.

    Returns
    -------
    ModelError
        None, and no difference, where nothing is known.
    """
    good = (variance > 0) & (summed_variance > variance) & (summed > 0)
    good &= value >= np.quantile(value[good], 2 / 3) if good.any() else good
    if np.count_nonzero(good) < FEWEST:
        return ModelError()
    ratio = float(np.median(value[good] / summed[good]))
    d2 = (value - ratio * summed)[good] ** 2
    between, square = (summed_variance - variance)[good], value[good] ** 2
    low, high = 0.0, LARGEST
    if np.median(d2 / between) <= MEDIAN_OF_CHI2:
        return ModelError(ratio)
    for _ in range(40):
        middle = 0.5 * (low + high)
        if np.median(d2 / (between + middle * middle * square)) > MEDIAN_OF_CHI2:
            low = middle
        else:
            high = middle
    return ModelError(ratio, high)


def blended(
    value: np.ndarray, variance: np.ndarray, summed: np.ndarray, summed_variance: np.ndarray, known: ModelError
) -> tuple[np.ndarray, np.ndarray]:
    """Fits with the sum of their pixels as far as the profile's error makes that the better estimate, and their variances.

    With e = ``known.error`` times I the fit has the variance V + e^2, the sum S, and both share V: the best mean has the
    share a = e^2 / (e^2 + S - V) of the sum, and the variance V + e^2 (1 - a).

    Parameters
    ----------
    value, variance, summed, summed_variance : (n,) float64
        Variances that are not positive stand for spots without a fit, which stay as they are.
    known : ModelError
    """
    summed, summed_variance = known.ratio * summed, known.ratio**2 * summed_variance
    e2 = (known.error * np.maximum(value, 0.0)) ** 2
    between = np.maximum(summed_variance - variance, 0.0)
    share = np.where((variance > 0) & (summed_variance > 0) & (e2 > 0), e2 / np.maximum(e2 + between, 1e-300), 0.0)
    return value + share * (summed - value), np.where(variance > 0, variance + e2 * (1.0 - share), variance)
