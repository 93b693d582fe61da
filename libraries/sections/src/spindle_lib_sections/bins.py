"""Numbers of many reflections put together before they are drawn."""

from __future__ import annotations

import numpy as np

__all__ = ["counts_2d", "means", "means_2d", "rms", "shells_of", "spread", "thin"]


def means(places: np.ndarray, values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Number and mean of values at each of n places.

    Parameters
    ----------
    places : (m,) int
        Those that are not in 0 ... n - 1 are left out, and so are values that are no numbers.
    values : (m,) float

    Returns
    -------
    counts : (n,) int64
    mean : (n,) float64
        NaN where there is none.
    """
    good = (places >= 0) & (places < n) & np.isfinite(values)
    places, values = (places, values) if good.all() else (places[good], values[good])
    counts = np.bincount(places, minlength=n)
    total = np.bincount(places, values, minlength=n)
    with np.errstate(invalid="ignore"):
        return counts, np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def rms(places: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """(n,) float64: root mean square of values at each of n places, NaN where there is none."""
    return np.sqrt(means(places, np.square(values), n)[1])


def spread(low: float, high: float, values: np.ndarray, n: int) -> np.ndarray:
    """(m,) int64: which of n equal parts of [low, high] each value lies in; -1 outside, or for what is no number."""
    width = high - low
    if not width > 0:
        return np.where(np.isfinite(values), 0, -1)
    with np.errstate(invalid="ignore"):
        found = np.floor((values - low) * (n / width))
        found = np.where(values == high, n - 1, found)
        return np.where((found >= 0) & (found < n), found, -1).astype(np.int64)


def shells_of(d: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Resolution shells of equal volume.

    Parameters
    ----------
    d : (m,) float64, angstrom
        Some positive.
    n : int

    Returns
    -------
    places : (m,) int64
        -1 where d is not positive.
    middles : (n,) float64, 1/angstrom^2
        1/d^2 in the middle of each shell: the mean of those of its limits.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        cubes = np.where(d > 0, np.power(d, -3.0), np.nan)
    edges = np.linspace(np.nanmin(cubes), np.nanmax(cubes), n + 1)
    squares = np.cbrt(edges) ** 2
    return spread(float(edges[0]), float(edges[-1]), cubes, n), 0.5 * (squares[1:] + squares[:-1])


def counts_2d(x: np.ndarray, y: np.ndarray, nx: int, ny: int) -> np.ndarray:
    """(ny, nx) float64: number of points with the places x in 0 ... nx - 1 and y in 0 ... ny - 1, NaN for none."""
    good = (x >= 0) & (y >= 0)
    found = np.bincount(y[good] * nx + x[good], minlength=nx * ny).reshape(ny, nx).astype(np.float64)
    found[found == 0] = np.nan
    return found


def means_2d(x: np.ndarray, y: np.ndarray, values: np.ndarray, nx: int, ny: int) -> np.ndarray:
    """(ny, nx) float64: mean of the values of points as of `counts_2d`."""
    places = np.where((x >= 0) & (y >= 0), y * nx + x, -1)
    return means(places, values, nx * ny)[1].reshape(ny, nx)


def thin(n: int, most: int) -> np.ndarray:
    """Places (k,) int64, at most `most`, spread evenly over 0 ... n - 1 with both ends."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.int64))
