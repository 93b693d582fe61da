"""Median and interquartile range of many groups of numbers, quantiles between two numbers interpolated linearly."""

from __future__ import annotations

import numpy as np

__all__ = ["quartiles_of_levels", "quartiles_of_values"]

_QUANTILES = (0.25, 0.5, 0.75)


def _places(n: np.ndarray | int, quantile: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks between which the quantile of n numbers lies, and how far from the first."""
    place = np.maximum(np.asarray(n) - 1, 0) * quantile
    first = np.floor(place).astype(np.int64)
    return first, np.minimum(first + 1, np.maximum(np.asarray(n) - 1, 0)), place - first


def quartiles_of_levels(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Median and interquartile range of whole numbers, from their histograms.

    Parameters
    ----------
    counts : (n_groups, n_levels + 1) int32
        How often each group has the numbers 0, 1, ...; the last column stands for all higher ones.

    Returns
    -------
    median, spread : (n_groups,) float64
        0 for groups without numbers; None instead of both when a quartile lies among the higher ones.
    """
    below = np.cumsum(counts, axis=1)
    n = below[:, -1]
    top = counts.shape[1] - 1
    quartiles = []
    for quantile in _QUANTILES:
        first, second, part = _places(n, quantile)
        low, high = (np.count_nonzero(below <= rank[:, None], axis=1) for rank in (first, second))
        low, high = np.where(n > 0, low, 0), np.where(n > 0, high, 0)
        if (high >= top).any():
            return None
        quartiles.append(low + (high - low) * part)
    return quartiles[1], quartiles[2] - quartiles[0]


def quartiles_of_values(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range of groups of numbers.

    Parameters
    ----------
    values : (n,) float64
        Group g is ``values[starts[g] : ends[g]]``; each is put into another order.
    starts, ends : (n_groups,) or longer, int64

    Returns
    -------
    median, spread : (n_groups,) float64
        0 for groups without numbers.
    """
    quartiles = np.zeros((3, len(ends)))
    for g, end in enumerate(ends):
        group = values[starts[g] : end]
        if not len(group):
            continue
        places = [_places(len(group), q) for q in _QUANTILES]
        group.partition(sorted({int(rank) for first, second, _ in places for rank in (first, second)}))
        quartiles[:, g] = [group[a] + (group[b] - group[a]) * part for a, b, part in places]
    return quartiles[1], quartiles[2] - quartiles[0]
