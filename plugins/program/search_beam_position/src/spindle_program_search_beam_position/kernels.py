"""Sums and maxima over images."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def add_to_summary(image, good, threshold, total, maximum, count):
    """Add the good pixels of an image to what is known of each pixel.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
    good : (slow, fast) bool
    threshold : float, counts
        Higher values do not count.
    total : (slow, fast) float64
    maximum : (slow, fast) float32
        0 where no image was good so far.
    count : (slow, fast) int32
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            value = image[i, j]
            if good[i, j] and value <= threshold:
                total[i, j] += value
                count[i, j] += 1
                if value > maximum[i, j]:
                    maximum[i, j] = value
