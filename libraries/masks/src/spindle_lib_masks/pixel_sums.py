"""What each pixel sees over many images."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_image"]


@njit(nogil=True, cache=True)
def add_image(image, good, ring, cap, total, count, high):
    """Add the good pixels of an image to sums per pixel.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
    good : (slow, fast) bool
    ring : (slow, fast) int32
        Number of the ring of each pixel.
    cap : (n_rings,) float64
        Largest value that counts in full, per ring.
    total : (slow, fast) float64
        Sum of the values up to the cap.
    count, high : (slow, fast) int32
        Images in which the pixel was good, and those in which it reached the cap.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if good[i, j]:
                limit = cap[ring[i, j]]
                # In 256ths of a count, so that sums of images with fractions are exact in any order, too.
                value = np.rint(np.float64(image[i, j]) * 256.0) / 256.0
                total[i, j] += min(value, limit)
                count[i, j] += 1
                high[i, j] += value >= limit
