"""Corrections averaged over the pixels of spots, and how they vary there and with the geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.profile import ForegroundMasks
from spindle.models import Detector
from spindle.table import ReflectionTable

__all__ = ["averaged_over_spots", "shifted_spread", "spot_correction"]

PIXELS_AT_ONCE = 2_000_000

#: From directions (n, 3) to factors (n,).
Factors = Callable[[np.ndarray], np.ndarray]


def averaged_over_spots(
    factors: Factors, detector: Detector, reflections: ReflectionTable, foreground: ForegroundMasks
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a factor over the foreground of each spot.

    Parameters
    ----------
    factors
        From directions (m, 3), unit vectors, to factors (m,).
    detector : Detector
    reflections : ReflectionTable
        n rows with ``panel``, ``bbox``, ``s1``.
    foreground : ForegroundMasks
        Of the n boxes.

    Returns
    -------
    (n,) float64, (n,) float64
        Spots without foreground have the factor of their beam, and 0.
    """
    n = len(reflections)
    mean, spread = factors(_unit(reflections["s1"])), np.zeros(n)
    for first, last, spot, xy, panel in _pixels(reflections, foreground):
        values = factors(_unit(detector.lab_coordinate_of_pixel(panel, xy)))
        number = np.bincount(spot, minlength=last - first)
        sums = np.bincount(spot, values, minlength=last - first)
        some = number > 0
        mean[first:last][some] = sums[some] / number[some]
        squares = np.bincount(spot, (values - mean[first:last][spot]) ** 2, minlength=last - first)
        several = number > 1
        spread[first:last][several] = np.sqrt(squares[several] / (number[several] - 1))
    return mean, spread


def _pixels(
    reflections: ReflectionTable, foreground: ForegroundMasks
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Foreground pixels of runs of rows: first and last row, and of each pixel its row (from the first), centre and panel."""
    bbox, n = reflections["bbox"].astype(np.int64), len(reflections)
    sizes = np.maximum(bbox[:, 1] - bbox[:, 0], 1) * np.maximum(bbox[:, 3] - bbox[:, 2], 1)
    # masks of each image lie one after the other: the first image's are looked at
    offsets = foreground.offsets
    counts = np.minimum(sizes, np.diff(offsets))
    ends = np.cumsum(counts)
    first = 0
    while first < n:
        begun = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, begun + PIXELS_AT_ONCE, "right")), first + 1)
        many = counts[first:last]
        spot = np.repeat(np.arange(last - first), many)
        k = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        inside = foreground.inside[offsets[first:last][spot] + k] == 1
        spot, k = spot[inside], k[inside]
        box = bbox[first:last][spot]
        width = box[:, 1] - box[:, 0]
        xy = np.stack([box[:, 0] + k % width + 0.5, box[:, 2] + k // width + 0.5], axis=1)
        yield first, last, spot, xy, reflections["panel"][first:last][spot].astype(np.int64)
        first = last


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])


def shifted_spread(factors: Factors, shifted: Iterable[Factors], directions: np.ndarray) -> np.ndarray:
    """Largest change of a factor when the geometry is changed.

    Parameters
    ----------
    factors
        From directions to factors.
    shifted
        The same for other geometries.
    directions : (n, 3) float64

    Returns
    -------
    (n,) float64
    """
    usual, most = factors(directions), np.zeros(len(directions))
    for other in shifted:
        np.maximum(most, np.abs(other(directions) - usual), out=most)
    return most


def spot_correction(
    factors: Factors,
    detector: Detector,
    reflections: ReflectionTable,
    foreground: ForegroundMasks | None,
    shifted: Iterable[Factors] = (),
) -> AbsorptionFactors:
    """Factors with the uncertainties that are asked for.

    Parameters
    ----------
    factors
        From directions to factors.
    detector : Detector
    reflections : ReflectionTable
    foreground : ForegroundMasks or None
        None takes the beam of each spot for all of it.
    shifted
        The factors of other geometries that are as likely; none leaves their uncertainty out.

    Returns
    -------
    AbsorptionFactors
        sigma is the larger of the spread within the spot and that by the geometry.
    """
    directions = _unit(reflections["s1"]) if len(reflections) else np.zeros((0, 3))
    if foreground is None:
        factor, sigma = factors(directions), np.zeros(len(reflections))
    else:
        factor, sigma = averaged_over_spots(factors, detector, reflections, foreground)
    sigma = np.maximum(sigma, shifted_spread(factors, shifted, directions))
    return AbsorptionFactors(factor, sigma)
