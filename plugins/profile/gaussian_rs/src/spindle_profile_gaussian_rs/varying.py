"""Widths that change during a scan."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["varying_sigmas"]

SPOTS_PER_BLOCK = 150
SMOOTHING = 25.0 / 3.0  # images, as in DIALS


def varying_sigmas(
    z: np.ndarray, array_range: tuple[int, int], estimate: Callable[[np.ndarray], tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Widths on every image.

    Spots are taken in blocks of equal number as they pass, at least 150 each; the squares of the widths of blocks are interpolated
    between the middles of the blocks and smoothed along the images.

    Parameters
    ----------
    z : (n,) float64
        Array indices of the spots.
    array_range : (int, int)
    estimate
        sigma_b and sigma_m of some spots, given their numbers.

    Returns
    -------
    sigma_b, sigma_m : (n_images,) float64
        In the unit of the estimates.
    """
    from scipy.ndimage import gaussian_filter1d

    first, last = array_range
    order = np.argsort(z, kind="stable")
    n_blocks = int(np.clip(len(z) // SPOTS_PER_BLOCK, 1, last - first))
    blocks = np.array_split(order, n_blocks)
    centres = np.array([z[block].mean() for block in blocks])
    found = np.array([estimate(np.sort(block)) for block in blocks])
    middles = np.arange(first, last) + 0.5
    out = []
    for sigma in found.T:
        squares = np.interp(middles, centres, sigma**2)
        out.append(np.sqrt(gaussian_filter1d(squares, SMOOTHING, mode="nearest", truncate=3.0)))
    return out[0], out[1]
