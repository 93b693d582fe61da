"""Pairs of equivalents by the doses at which they were measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kernels import compare_pairs

__all__ = ["PairSums", "pair_sums"]

#: Of a reflection with more observations each is compared with about so many others only.
MOST_PARTNERS = 200


@dataclass(frozen=True, slots=True)
class PairSums:
    """Sums over pairs of equivalents 1 and 2.

    Attributes
    ----------
    difference, total, noise : (n_shells, n_steps) float64
        At the larger of the two doses: |I1 - I2|, |I1 + I2| / 2, I1 / sigma1 + I2 / sigma2.
    count : (n_shells, n_steps) int64
        Observations in pairs: two for each.
    apart, apart_total : (n_steps,) float64
        At the difference of the doses: |I1 - I2|, (I1 + I2) / 2.
    apart_count : (n_steps,) int64
        Pairs.
    """

    difference: np.ndarray
    total: np.ndarray
    noise: np.ndarray
    count: np.ndarray
    apart: np.ndarray
    apart_total: np.ndarray
    apart_count: np.ndarray


def pair_sums(
    offsets: np.ndarray, shell: np.ndarray, step: np.ndarray, intensity: np.ndarray, signal: np.ndarray, n_shells: int, n_steps: int,
    most: int = MOST_PARTNERS,
) -> PairSums:  # fmt: skip
    """Compare the equivalents of each reflection with each other.

    Parameters
    ----------
    offsets : (m + 1,) int64
        Reflection i has the observations offsets[i]:offsets[i + 1].
    shell : (m,) int64
        Of each reflection; negative for one that takes no part.
    step : (n,) int64
        Step of the dose of each observation.
    intensity, signal : (n,) float64
        Intensity, and intensity over sigma.
    n_shells, n_steps : int
    most : int
        Of a reflection with more observations, each is compared with about so many others, evenly spread over the rest.
    """
    difference, total, noise = np.zeros((3, n_shells, n_steps))
    count, apart_count = np.zeros((n_shells, n_steps), np.int64), np.zeros(n_steps, np.int64)
    apart, apart_total = np.zeros((2, n_steps))
    compare_pairs(
        np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(shell, np.int64), np.ascontiguousarray(step, np.int64),
        np.ascontiguousarray(intensity, np.float64), np.ascontiguousarray(signal, np.float64), most, difference, total, noise, count, apart,
        apart_total, apart_count,
    )  # fmt: skip
    return PairSums(difference, total, noise, count, apart, apart_total, apart_count)
