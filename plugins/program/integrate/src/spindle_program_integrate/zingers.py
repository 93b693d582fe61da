"""Stray hits in foregrounds: single pixels far above what profile and counting allow."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.table import ReflectionTable, Shoeboxes

from .zinger_kernels import COUNTS, mask_lone

__all__ = ["mask_zingers"]

#: Sums that exceed fits by fewer standard deviations are not looked at.
SUSPICIOUS = 3.0


def mask_zingers(
    fitter: Any, table: ReflectionTable, boxes: Shoeboxes, summed: np.ndarray, variance: np.ndarray, fitted: np.ndarray,
    success: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Find pixels in foregrounds that something else hit, and make them invalid.

    Parameters
    ----------
    fitter : ProfileFitter
    table : ReflectionTable
        Of n spots.
    boxes : Shoeboxes
        With background; their mask is changed.
    summed, variance, fitted : (n,) float64
        Summed counts, their variances, and fits, which leave such pixels out.
    success : (n,) bool
        Of the fits.

    Returns
    -------
    (n,) bool
        Spots that lost pixels. Only those whose sum is far above the fit are looked at.
    """
    found = np.zeros(len(table), bool)
    at = np.flatnonzero(success & (summed - fitted > SUSPICIOUS * np.sqrt(np.maximum(variance, 0.0)) + COUNTS))
    if not len(at):
        return found
    some = boxes.select(at)
    model = fitter.expected_counts(table.select(at), some, np.maximum(fitted[at], 0.0))
    hit = np.zeros(len(at), np.int64)
    mask_lone(some.bbox, some.offsets, some.data, some.mask, some.background, model, fitted[at], hit)
    rows = np.flatnonzero(hit)
    sizes = np.diff(some.offsets)[rows]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    pixels, copies = (np.repeat(first, sizes) + within for first in (boxes.offsets[at[rows]], some.offsets[rows]))
    boxes.mask[pixels] = some.mask[copies]
    found[at] = hit > 0
    return found
