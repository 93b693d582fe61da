"""Sums over pairs of equivalent observations."""

from __future__ import annotations

import numba


@numba.njit(nogil=True, cache=True)
def pair_sums(offsets, intensity, image, sweep, width, most, difference, total, pairs):
    """Add up differences and means of equivalents of the same sweep by the distance of their images.

    Parameters
    ----------
    offsets : (m + 1,) int64
        Observations of a reflection stand together.
    intensity : (n,) float64
    image : (n,) float64
    sweep : (n,) int64
    width : float
        Images in each bin of the distance.
    most : int
        Of reflections with more observations so many are taken, evenly.
    difference, total, pairs : (k,) float64
        Output, added to: sums of |I_i - I_j| and of (I_i + I_j) / 2, and numbers of pairs.
    """
    k = difference.shape[0]
    for r in range(offsets.shape[0] - 1):
        start, stop = offsets[r], offsets[r + 1]
        step = max(1, (stop - start + most - 1) // most)
        for i in range(start, stop, step):
            for j in range(i + step, stop, step):
                if sweep[i] != sweep[j]:
                    continue
                place = int(abs(image[i] - image[j]) / width)
                if place < k:
                    difference[place] += abs(intensity[i] - intensity[j])
                    total[place] += 0.5 * (intensity[i] + intensity[j])
                    pairs[place] += 1.0
