"""Correlations of intensities that rotations of the indices would make equal, without any model of their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle.table import ReflectionTable, rows_by_value
from spindle_lib_merging import correlation, is_measured, pack_indices


@dataclass(frozen=True, slots=True)
class MeanValues:
    """Means of a quantity by Miller index.

    Attributes
    ----------
    hkl : (n, 3) int64
        Unique; one of each pair of Friedel mates where they were averaged.
    value : (n,) float64
    keys : (n,) int64
        Number of each index, ascending.
    friedel : bool
        Whether h and -h are one reflection.
    """

    hkl: np.ndarray
    value: np.ndarray
    keys: np.ndarray
    friedel: bool

    @classmethod
    def of(cls, hkl: np.ndarray, value: np.ndarray, friedel: bool) -> MeanValues:
        """Average what was measured several times."""
        keys, first, number = np.unique(_keys(hkl, friedel), return_index=True, return_inverse=True)
        mean = np.bincount(number, value, len(first)) / np.maximum(np.bincount(number, minlength=len(first)), 1)
        return cls(np.asarray(hkl)[first].astype(np.int64), mean, keys, friedel)

    def partners(self, hkl: np.ndarray) -> np.ndarray:
        """(m,) int: row of each index, -1 where it was not measured."""
        if not len(self.keys):
            return np.full(len(hkl), -1)
        wanted = _keys(hkl, self.friedel)
        rows = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[rows] == wanted, rows, -1)


def _keys(hkl: np.ndarray, friedel: bool) -> np.ndarray:
    keys = pack_indices(hkl)
    return np.maximum(keys, pack_indices(-np.asarray(hkl, dtype=np.int64))) if friedel else keys


def values_of_spots(table: ReflectionTable, positive: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Summed intensities of the indexed rows of a table, whether integrated or those of found spots.

    Parameters
    ----------
    table : ReflectionTable
    positive : bool
        Leave out intensities that are not positive.

    Returns
    -------
    rows : (m,) int
        Rows with an index, an experiment, an intensity and its variance.
    intensity, sigma : (m,) float64
        Without any correction.
    """
    value, variance = table["intensity.sum.value"], table["intensity.sum.variance"]
    good = is_measured(value, variance) & (table["miller_index"] != 0).any(axis=1)
    if "id" in table:
        good &= table["id"] >= 0
    if positive:
        good &= value > 0
    rows = np.flatnonzero(good)
    return rows, value[rows], np.sqrt(variance[rows])


def operator_correlation(
    parts: Sequence[MeanValues], rotation: np.ndarray, shells: Sequence[np.ndarray] | None = None
) -> tuple[float, int]:
    """Correlation of the values at h and h R.

    Parameters
    ----------
    parts : sequence of MeanValues
        Values are compared within each of them: within a crystal, for example.
    rotation : (3, 3) int
        Acts on coordinates; indices transform as the row vector h R.
    shells : sequence of (n,) int, optional
        Number of the resolution shell of each value of each part: the mean of the correlations within shells is
        returned, weighted by their pairs.

    Returns
    -------
    cc : float
        0 where nothing varies. Each pair counts in both orders, so that the inverse rotation gives the same; reflections
        that the rotation leaves alone say nothing and are left out. Of the identity: every value with itself.
    n : int
        Number of pairs.
    """
    x, y, shell = [], [], []
    n = 0
    identity = np.array_equal(rotation, np.eye(3))
    for k, part in enumerate(parts):
        partner = part.partners(part.hkl @ rotation)
        own = np.arange(len(part.hkl))
        here = own[(partner >= 0) & ((partner != own) | identity)]
        there = partner[here]
        mutual = int(np.count_nonzero((partner[there] == here) & (there != here)))  # one pair, seen from both ends
        n += len(here) - mutual // 2
        x += [part.value[here], part.value[there]]
        y += [part.value[there], part.value[here]]
        shell += [np.zeros(len(here), np.int64) if shells is None else shells[k][here]] * 2
    if n < 2:
        return 0.0, n
    first, second, number = np.concatenate(x), np.concatenate(y), np.concatenate(shell)
    total = 0.0
    for rows in rows_by_value(number).values():
        total += len(rows) * correlation(first[rows], second[rows])
    return total / len(number), n


def resolution_shells(d_star: Sequence[np.ndarray], n_shells: int) -> list[np.ndarray]:
    """Numbers of shells of equal numbers of reflections, for reflections at (n,) d* of each part."""
    everything = np.sort(np.concatenate([*d_star, np.zeros(0)]))
    edges = everything[(len(everything) * np.arange(1, n_shells)) // n_shells] if len(everything) else everything
    return [np.searchsorted(edges, values, side="right") for values in d_star]


def deviation_of_correlation(cc: float, n: int) -> float:
    """Standard deviation of a correlation of n pairs, sqrt((1 - cc^2) / (n - 2)); 1 where n is too small to tell."""
    return float(np.sqrt(max(1.0 - cc * cc, 0.0) / (n - 2))) if n > 2 else 1.0
