"""How the mean residuals vary over a scan."""

from __future__ import annotations

import numpy as np

SMALLEST_BLOCK_DEG = 1.0
FEWEST_PER_BLOCK = 5
WANTED_PER_BLOCK = 50


def block_means(
    z: np.ndarray, residuals: np.ndarray, z0: float, z1: float, width_deg: float
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean residuals in blocks wide enough to hold about 50 reflections, and at least 1 degree.

    Parameters
    ----------
    z : (n,) float64
        Array indices of the reflections.
    residuals : (n, 3) float64
    z0, z1 : float
        Range of array indices.
    width_deg : float
        Width of an image.

    Returns
    -------
    block_deg : float
        Width of the blocks.
    counts : (m,) int64
    means : (m, 3) float64

    """
    extent = (z1 - z0) * width_deg
    block = SMALLEST_BLOCK_DEG
    counts = np.histogram(z, bins=max(int(extent / block), 1), range=(z0, z1))[0]
    while counts.min() < WANTED_PER_BLOCK and block < extent:
        block *= 2.0 if counts.min() < FEWEST_PER_BLOCK else max(WANTED_PER_BLOCK / counts.min(), 1.01)
        counts = np.histogram(z, bins=max(int(extent / block), 1), range=(z0, z1))[0]
    n = len(counts)
    which = np.clip(((z - z0) / (z1 - z0) * n).astype(np.int64), 0, n - 1)
    sums = np.column_stack([np.bincount(which, residual, minlength=n) for residual in residuals.T])
    return extent / n, counts, sums / np.maximum(counts, 1)[:, None]
