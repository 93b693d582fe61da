"""Masks from the values of pixels."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["trusted_mask"]


@njit(nogil=True, cache=True)
def _trusted(image, static, low, high, out):
    for i in range(image.shape[0]):
        row = image[i]
        good = static[i]
        result = out[i]
        for j in range(row.shape[0]):
            result[j] = good[j] & np.uint8((row[j] >= low) & (row[j] <= high))


def trusted_mask(image: np.ndarray, static: np.ndarray, low: float, high: float, out: np.ndarray) -> np.ndarray:
    """Good pixels of an image: those of the static mask whose value lies in the trusted range, both ends included.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
        Raw values. A value that is not a number is never good.
    static : (slow, fast) bool
        True is good.
    low, high : float
        Trusted range.
    out : (slow, fast) bool
        Filled and returned.
    """
    if image.dtype == np.int32:
        info = np.iinfo(np.int32)
        ends = (
            np.int32(np.clip(np.ceil(low), info.min, info.max)),
            np.int32(np.clip(np.floor(high), info.min, info.max)),
        )
    else:
        ends = (np.float32(low), np.float32(high))
    _trusted(image, static.view(np.uint8), *ends, out.view(np.uint8))
    return out
