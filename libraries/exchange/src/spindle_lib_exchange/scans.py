"""The scan of a sweep of which a file gives angles and numbers of images only."""

from __future__ import annotations

import numpy as np

from spindle.models import Scan

__all__ = ["scan_of"]

DECIMALS = 7


def scan_of(images: np.ndarray, angles: np.ndarray) -> Scan | None:
    """The scan in whose images angles lie.

    Parameters
    ----------
    images : (n,) int
        Number of the image, from 1, of each reflection.
    angles : (n,) float64, degrees

    Returns
    -------
    Scan or None
        Width and beginning have the fewest decimals for which every angle is in its image, to a twentieth of it. None where there is no such
        scan: one image, no rotation.
    """
    first, last = int(images.min()), int(images.max())
    if last == first:
        return None
    middle, mean = images - images.mean(), angles - angles.mean()
    slope = float(middle @ mean / (middle @ middle))
    if not np.isfinite(slope) or slope == 0.0:
        return None
    for decimals in range(DECIMALS + 1):
        width = round(slope, decimals)
        if width == 0.0:
            continue
        ends = np.stack([angles - (images - 1) * width, angles - images * width])
        low, high = float(ends.min(axis=0).max()), float(ends.max(axis=0).min())
        slack = 0.05 * abs(width)
        if low > high + slack:
            continue
        for places in range(DECIMALS + 1):
            zero = round(0.5 * (low + high), places)
            if min(low, high) - slack <= zero <= max(low, high) + slack:
                return Scan((first, last), (round(zero + (first - 1) * width, DECIMALS), width))
    return None
