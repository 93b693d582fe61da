"""Loops over pairs of equivalents."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def compare_pairs(
    offsets,
    shell,
    dose,
    value,
    signal,
    most,
    difference,
    total,
    noise,
    count,
    by_distance,
    by_distance_total,
    by_distance_count,
):
    """Compare the equivalents of each reflection with each other.

    Parameters
    ----------
    offsets : (m + 1,) int64
        Reflection i has the observations offsets[i]:offsets[i + 1].
    shell : (m,) int64
        Of each reflection; negative for one that takes no part.
    dose : (n,) int64
        Step of each observation.
    value, signal : (n,) float64
        Intensity, and intensity over sigma.
    most : int
        Of a reflection with more observations, each is compared with about so many others, evenly spread over the rest.
    difference, total, noise : (n_shells, n_steps) float64
        Output, at the larger of the two doses: |I1 - I2|, |I1 + I2| / 2, I1 / sigma1 + I2 / sigma2.
    count : (n_shells, n_steps) int64
        Output: two for each pair.
    by_distance, by_distance_total : (n_steps,) float64
        Output, at the difference of the doses: |I1 - I2|, (I1 + I2) / 2.
    by_distance_count : (n_steps,) int64
        Output: pairs.
    """
    for i in range(offsets.shape[0] - 1):
        k = shell[i]
        first, n = offsets[i], offsets[i + 1] - offsets[i]
        if k < 0 or n < 2:
            continue
        stride = 1 if n - 1 <= most else (n - 1) // most
        for apart in range(1, n // 2 + 1, stride):
            # every pair once: those that lie half the circle apart would come twice
            pairs = n // 2 if 2 * apart == n else n
            for a in range(pairs):
                p, q = first + a, first + (a + apart) % n
                low, high = min(dose[p], dose[q]), max(dose[p], dose[q])
                distance = abs(value[p] - value[q])
                mean = 0.5 * (value[p] + value[q])
                difference[k, high] += distance
                total[k, high] += abs(mean)
                noise[k, high] += signal[p] + signal[q]
                count[k, high] += 2
                by_distance[high - low] += distance
                by_distance_total[high - low] += mean
                by_distance_count[high - low] += 1


@njit(nogil=True, cache=True)
def first_doses(offsets, dose, earliest):
    """Least step (m,) int64 of each reflection's observations, into `earliest`."""
    for i in range(offsets.shape[0] - 1):
        least = dose[offsets[i]]
        for j in range(offsets[i] + 1, offsets[i + 1]):
            least = min(least, dose[j])
        earliest[i] = least


__all__ = ["compare_pairs", "first_doses"]
