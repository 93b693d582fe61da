"""The counts of a spot to expect from what was observed, and from what reflections of its resolution have."""

from __future__ import annotations

import numpy as np

from .believed import BELIEVED, USUAL

__all__ = [
    "KNOWN_SHARE",
    "counts_in_variance",
    "drawn_counts",
    "expected_signal",
    "sets_by_counts",
    "variance_of_equivalents",
]

#: Of the observations of an error model so many have to have known counts, for their variances to hold them all.
KNOWN_SHARE = 0.95
#: Fewer observations of equivalents do not tell an error model of their own.
ENOUGH_EQUIVALENTS = 250

# A reflection of more than so many times the mean of its resolution is itself the evidence that such ones exist.
LARGEST = 3.0
FLOOR = 1e-3
# Of the search for the counts in a variance, the first a whole one, the others half ones: whole ones do not settle between mean and counts.
STEPS = 6


def drawn_counts(mean: np.ndarray, believed: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(n,) float64: `counts_of_variance` of arrays; mean and believed counts of at least `FLOOR`."""
    from scipy.special import gamma

    mean, believed = np.maximum(mean, FLOOR), np.maximum(believed, FLOOR)
    power = np.minimum(variance * (BELIEVED * np.maximum(believed / (USUAL * mean), 1.0)) ** 2, 1.0)
    return np.asarray(mean ** (1.0 - power) * believed**power * gamma(2.0 - power))


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
    from scipy.special import log_ndtr

    known = expected >= 0.0
    mean = np.maximum(np.maximum(expected, value / LARGEST), FLOOR)
    variance = np.maximum(background_variance + np.maximum(value, expected), FLOOR)
    sd = np.sqrt(variance)
    t = (value - variance / mean) / sd  # the posterior is a normal distribution about this, cut at 0
    hazard = np.exp(-0.5 * t * t - 0.5 * np.log(2.0 * np.pi) - log_ndtr(t))
    mean = np.maximum(sd * (t + hazard), 0.0)
    prior = np.maximum(expected, FLOOR)
    counts = drawn_counts(prior, mean, np.maximum(background_variance, 0.0) + prior)
    return np.where(known, counts, np.abs(value))


def counts_in_variance(value: np.ndarray, variance: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The counts that a variance of integration holds, so that those which equivalents let expect can take their place.

    Parameters
    ----------
    value, variance : (n,) float64, counts, counts^2
        Intensities, and variances that are made of `expected_signal`.
    expected : (n,) float64, counts
        The mean that those were made of, the column ``expected_counts``; 0 or negative where it is unknown.

    Returns
    -------
    (n,) float64, counts
        At most the variance; -1 where nothing is known.
    """
    known = (expected > 0.0) & (variance > 0.0) & np.isfinite(value)
    counts = np.full(len(value), -1.0)
    value, variance, expected = value[known], variance[known], expected[known]
    made = np.minimum(expected, variance)
    for step in range(STEPS):
        found = np.minimum(expected_signal(value, variance - made, expected), variance)
        made = found if step == 0 else 0.5 * (made + found)
    counts[known] = made
    return counts


def variance_of_equivalents(
    variance: np.ndarray, made: np.ndarray, mean: np.ndarray, believed: np.ndarray, number: np.ndarray, drawn: bool
) -> np.ndarray:
    """A variance of integration, the counts that it is made of exchanged for those which equivalents let expect.

    A merged intensity whose variance follows its noise is too low on average. With ``drawn``, for weights and final variances, counts
    of few photons are drawn towards the mean, as integration does it (`counts_of_variance`), for the error that equivalents have together.

    Parameters
    ----------
    variance, made : (n,) float64, counts^2
        See `counts_in_variance`.
    mean, believed : (n,) float64, counts
        At such a resolution, and of the equivalents.
    number : (n,) int64
        How many equivalents there are.
    drawn : bool

    Returns
    -------
    (n,) float64, counts^2
    """
    left = np.maximum(variance - made, 0.0)
    return left + drawn_counts(mean, believed, number * (left + mean) if drawn else np.full(len(mean), np.inf))


def sets_by_counts(number: np.ndarray, counted: np.ndarray, group: np.ndarray, n_sets: int) -> list[list[int]]:
    """Data sets whose errors are of one kind: those whose variances are made of expected counts, and the others.

    Variances of others hold counts as they were observed, which are too small where few were: in an error model for all, their errors
    would spoil those that are known.

    Parameters
    ----------
    number : (n,) int64
        Data set of each observation.
    counted : (n,) bool
        Whether its variance is made of expected counts.
    group : (n,) int64
        Its unique reflection.
    n_sets : int

    Returns
    -------
    list of list of int
        One list with all where they are of one kind, or where a kind has too few equivalents for an error model of its own.
    """
    of_all, known = np.bincount(number, minlength=n_sets), np.bincount(number, counted, n_sets)
    is_known = known > KNOWN_SHARE * of_all
    kinds = [np.flatnonzero(chosen).tolist() for chosen in (is_known, ~is_known)]
    everything = [list(range(n_sets))]
    if not all(kinds):
        return everything
    for chosen in (is_known, ~is_known):
        times = np.bincount(group[chosen[number]])
        if int(times[times > 1].sum()) < ENOUGH_EQUIVALENTS:
            return everything
    return kinds
