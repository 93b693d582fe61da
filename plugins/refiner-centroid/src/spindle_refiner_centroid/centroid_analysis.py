"""How residuals vary over a scan: how wide may the intervals of varying models be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST_BLOCK_DEG = 1.0
FEWEST_PER_BLOCK = 5
WANTED_PER_BLOCK = 50
SMALLEST_INTERVAL_DEG = 9.0


@dataclass(frozen=True)
class CentroidAnalysis:
    """Result for one scan.

    Attributes
    ----------
    block_deg : float
        Width of the blocks whose mean residuals were analysed.
    interval_deg : float
        Width of intervals that can follow the variation seen.
    """

    block_deg: float
    interval_deg: float


def daniell(power: np.ndarray, span: int) -> np.ndarray:
    """Modified Daniell smoothing (half weights at the ends of the span) of a periodogram, reflected at its ends."""
    half = span // 2
    kernel = np.ones(2 * half + 1)
    kernel[[0, -1]] = 0.5
    kernel /= kernel.sum()
    return np.convolve(np.pad(power, half, mode="reflect"), kernel, mode="valid") if len(power) > half else power


def analyse_centroids(z: np.ndarray, residuals: np.ndarray, z0: float, z1: float, width_deg: float) -> CentroidAnalysis:
    """Find the fastest variation of the mean residuals along a scan.

    Parameters
    ----------
    z : (n,) float64
        Array indices of the reflections.
    residuals : (n, 3) float64
    z0, z1 : float
        Range of array indices.
    width_deg : float
        Width of an image.

    Notes
    -----
    Blocks of at least 1 degree with about 50 reflections; the periodogram of their mean residuals, smoothed twice; the lowest frequency
    at which it has fallen below five times its median at high frequency ends the signal. Two samples per period follow it.
    """
    extent = (z1 - z0) * width_deg
    block = SMALLEST_BLOCK_DEG
    counts = np.histogram(z, bins=max(int(extent / block), 1), range=(z0, z1))[0]
    while counts.min() < WANTED_PER_BLOCK and block < extent:
        block *= 2.0 if counts.min() < FEWEST_PER_BLOCK else max(WANTED_PER_BLOCK / counts.min(), 1.01)
        counts = np.histogram(z, bins=max(int(extent / block), 1), range=(z0, z1))[0]
    n = len(counts)
    block = extent / n
    if n < 8:
        return CentroidAnalysis(block, max(extent, SMALLEST_INTERVAL_DEG))
    which = np.clip(((z - z0) / (z1 - z0) * n).astype(np.int64), 0, n - 1)
    interval = extent
    for residual in residuals.T:
        mean = np.bincount(which, residual, minlength=n) / np.maximum(counts, 1)
        mean = mean - mean.mean()
        if not mean.any():
            continue
        power = np.abs(np.fft.rfft(mean))[1:] ** 2 / n
        frequency = np.fft.rfftfreq(n)[1:]
        smooth = daniell(daniell(power, 4), 4)
        high = smooth[frequency > 0.25]
        baseline = 5.0 * np.median(high)
        below = np.flatnonzero(smooth < baseline)
        if len(below) == 0:
            interval = min(interval, SMALLEST_INTERVAL_DEG)
        elif below[0] > 0:
            interval = min(interval, 0.5 * block / frequency[below[0]])
    return CentroidAnalysis(block, float(np.clip(interval, SMALLEST_INTERVAL_DEG, max(extent, SMALLEST_INTERVAL_DEG))))
