"""Statistics of the background pixels of ragged shoeboxes."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["background_statistics"]


@numba.njit(nogil=True, cache=True)
def background_statistics(data, offsets, background, used, success, mean, mse, dispersion):
    """Mean, mean squared residual and dispersion of the used pixels of each shoebox; clear the failed ones.

    Parameters
    ----------
    data : (p,) float32, counts
    offsets : (n + 1,) int64
        First pixel of each shoebox.
    background : (p,) float32, counts
        Modelled background; set to 0 in failed shoeboxes.
    used : (p,) uint8
        Non-zero where the pixel was used; set to 0 in failed shoeboxes.
    success : (n,) bool
    mean, mse, dispersion : (n,) float64
        Results; 0 in failed shoeboxes.
    """
    for i in range(success.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        if not success[i]:
            for k in range(first, last):
                background[k] = 0.0
                used[k] = 0
            continue
        n = 0
        total = squares = residual = 0.0
        for k in range(first, last):
            is_used = used[k] != 0  # values are chosen, not branched on: nobody can foresee which are used
            value = np.float64(data[k]) if is_used else 0.0
            difference = value - background[k] if is_used else 0.0
            n += is_used
            total += value
            squares += value * value
            residual += difference * difference
        if n == 0:
            continue
        average = total / n
        spread = max(squares - total * average, 0.0)
        mean[i] = average
        mse[i] = residual / n
        if n > 1 and average > 0.0:
            dispersion[i] = spread / (n - 1) / average
