"""Sums over the images of a scan, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .kernels import add_to_sums

__all__ = ["PixelStatistics"]


class PixelStatistics:
    """Mean, variance, least and largest value of the pixels of one panel, spots left out.

    Parameters
    ----------
    shape : (int, int)
        Slow and fast.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.number = np.zeros(shape, np.int32)
        self.total, self.squares = np.zeros(shape), np.zeros(shape)
        self.least, self.largest = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)

    def add(self, values: np.ndarray, good: np.ndarray) -> None:
        """Take in the good pixels of an image, (slow, fast) float32 and bool."""
        add_to_sums(values, good, self.number, self.total, self.squares, self.least, self.largest)

    def add_all(self, other: PixelStatistics) -> None:
        """Take in what was seen on other images."""
        self.number += other.number
        self.total += other.total
        self.squares += other.squares
        np.minimum(self.least, other.least, out=self.least)
        np.maximum(self.largest, other.largest, out=self.largest)

    def good(self, min_images: int) -> np.ndarray:
        """(slow, fast) bool: pixels seen on so many images."""
        return np.asarray(self.number >= max(min_images, 1))

    @property
    def mean(self) -> np.ndarray:
        """(slow, fast) float64, counts; 0 where nothing was seen."""
        return np.asarray(self.total / np.maximum(self.number, 1))

    @property
    def variance(self) -> np.ndarray:
        """(slow, fast) float64, counts^2: sample variance; 0 of fewer than two values."""
        n = self.number
        centred = np.maximum(self.squares - self.total**2 / np.maximum(n, 1), 0.0)
        return np.asarray(np.where(n > 1, centred / np.maximum(n - 1, 1), 0.0))

    @property
    def dispersion(self) -> np.ndarray:
        """(slow, fast) float64: variance over mean, 1 for photon counts; 0 where the mean is not positive."""
        mean = self.mean
        return np.asarray(np.where(mean > 0, self.variance / np.where(mean > 0, mean, 1.0), 0.0))

    def image(self, kind: str) -> np.ndarray:
        """(slow, fast) float64: ``mean``, or ``min``, the least value of each pixel."""
        if kind == "mean":
            return self.mean
        return np.asarray(np.where(np.isfinite(self.least), self.least, 0.0), np.float64)


def statistics_of(shapes: Sequence[tuple[int, int]]) -> list[PixelStatistics]:
    """Nothing seen yet, for each panel."""
    return [PixelStatistics(shape) for shape in shapes]
