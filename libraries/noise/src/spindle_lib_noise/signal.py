"""The counts of a spot to expect from what was observed, and from what reflections of its resolution have."""

from __future__ import annotations

import numpy as np

from .believed import BELIEVED, USUAL

__all__ = ["expected_signal"]

# A reflection of more than so many times the mean of its resolution is itself the evidence that such ones exist.
LARGEST = 3.0
FLOOR = 1e-3


def expected_signal(value: np.ndarray, background_variance: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Mean of the true counts, whose variance is theirs: what was observed follows the noise, and so would a variance made of it.

    Wilson's distribution of intensities about their mean at that resolution (French & Wilson 1978, Acta Cryst. A34, 517-525, acentric)
    with a normal error, whose variance is that of the background and of counts as expected, or of those observed where they are more.
    Where single photons matter sigmas of low counts would be too small, those of high ones too large, and a weighted mean too low:
    there more of the expected counts is taken than of the posterior mean, which follows the noise, if less.

    Parameters
    ----------
    value : (n,) float64, counts
        Summed intensity.
    background_variance : (n,) float64, counts^2
    expected : (n,) float64, counts
        Mean intensity of reflections of such resolution; negative where it is unknown.

    Returns
    -------
    (n,) float64, counts
        At least 0; ``|value|`` where nothing is expected.
    """
    from scipy.special import gamma, log_ndtr

    known = expected >= 0.0
    mean = np.maximum(np.maximum(expected, value / LARGEST), FLOOR)
    variance = np.maximum(background_variance + np.maximum(value, expected), FLOOR)
    sd = np.sqrt(variance)
    t = (value - variance / mean) / sd  # the posterior is a normal distribution about this, cut at 0
    hazard = np.exp(-0.5 * t * t - 0.5 * np.log(2.0 * np.pi) - log_ndtr(t))
    mean = np.maximum(sd * (t + hazard), 0.0)
    prior = np.maximum(expected, FLOOR)
    power = (np.maximum(background_variance, 0.0) + prior) * (BELIEVED * np.maximum(mean / (USUAL * prior), 1.0)) ** 2
    power = np.minimum(power, 1.0)
    counts = prior ** (1.0 - power) * np.maximum(mean, FLOOR) ** power * gamma(2.0 - power)  # see `counts_of_variance`
    return np.where(known, counts, np.abs(value))
