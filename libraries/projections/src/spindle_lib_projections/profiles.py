"""Images seen along one axis: one number for each column or row, with gaps where there are no good pixels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

__all__ = ["box_smooth", "fill_gaps", "max_profile", "mean_profile", "strip_uncertainty"]


def mean_profile(image: np.ndarray, good: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the good pixels of each column (axis 0, fast) or row (axis 1, slow).

    Parameters
    ----------
    image : (slow, fast) float32
    good : (slow, fast) bool
    axis : int
        0 gives one value per column, 1 one per row.

    Returns
    -------
    (n,) float64
        NaN where no pixel is good.
    """
    count = np.count_nonzero(good, axis=axis)
    total = np.asarray(np.sum(image, axis=axis, where=good, dtype=np.float64))
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def max_profile(image: np.ndarray, good: np.ndarray, axis: int) -> np.ndarray:
    """Largest of the good pixels of each column or row; see `mean_profile`."""
    highest = np.max(image, axis=axis, where=good, initial=-np.inf).astype(np.float64)
    return np.asarray(np.where(np.isfinite(highest), highest, np.nan))


def fill_gaps(profile: np.ndarray) -> np.ndarray:
    """The profile with straight lines across its gaps, and its ends continued.

    Raises
    ------
    ValueError
        If it holds nothing.
    """
    known = np.flatnonzero(np.isfinite(profile))
    if len(known) == 0:
        raise ValueError("the profile is empty")
    return np.interp(np.arange(len(profile)), known, profile[known])


def box_smooth(profile: np.ndarray, width: int) -> np.ndarray:
    """Running mean over `width` values, over fewer near the ends; gaps do not count and are filled.

    A window of an even number of values has its middle between two of them: the mean of both windows around a value moves nothing.
    """
    known = np.isfinite(profile)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, profile, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    sums, n = np.zeros(len(profile)), np.zeros(len(profile), np.int64)
    for before in {width // 2, (width - 1) // 2}:
        ends = np.arange(len(profile)) - before
        low, high = np.clip(ends, 0, len(profile)), np.clip(ends + width, 0, len(profile))
        sums += total[high] - total[low]
        n += count[high] - count[low]
    mean = np.divide(sums, n, out=np.full(len(profile), np.nan), where=n > 0)
    return fill_gaps(mean)


def strip_uncertainty(find: Callable[[slice], float], length: int, n_strips: int = 5) -> float:
    """Standard uncertainty of a position from that in strips of an image.

    Parameters
    ----------
    find : callable (slice) -> float
        Position in the part of the image that the slice along the other axis takes; NaN where there is none.
    length : int
        Pixels along the other axis.
    n_strips : int

    Returns
    -------
    float
        NaN when fewer than three strips have a position.

    Notes
    -----
    The spread is 1.4826 times the median absolute deviation: one strip may be wrong.
    """
    edges = np.linspace(0, length, n_strips + 1).astype(int)
    values = np.array([find(slice(a, b)) for a, b in pairwise(edges)])
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return float("nan")
    spread = 1.4826 * np.median(np.abs(values - np.median(values)))
    return float(spread / np.sqrt(len(values)))
