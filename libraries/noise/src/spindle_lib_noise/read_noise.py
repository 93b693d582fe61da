"""The noise of pixels beyond that of counted photons, from images.

Photon counts have a variance equal to their mean. An integrating camera adds the noise of reading, and a pedestal that was
taken off too large puts the mean below the variance, even below zero. The difference, variance - mean, is the same for
all pixels of a panel. Added to the values it makes the mean the variance again, which is what algorithms for photon counts
(dispersion of windows, comparison of pixels with their ring) expect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.images import Correction, ImageSequence, trusted_mask

__all__ = ["noise_offsets", "values_may_be_negative"]

# Edge of the windows whose variance and mean are compared, in pixels, and the least part of good pixels in them.
_WINDOW = 7
_LEAST_COVERAGE = 0.5
_FEWEST_WINDOWS = 20


def values_may_be_negative(images: ImageSequence, panel: int) -> bool:
    """Whether the trusted range of a panel, after the correction for pedestal and gain, holds values below zero."""
    low = float(images.experiment.detector[panel].trusted_range[0])
    lowest = images.corrections[panel].of_value(low)
    return bool((lowest[np.isfinite(lowest)] < 0.0).any())


def noise_offsets(
    images: ImageSequence, masks: Sequence[np.ndarray], indices: Sequence[int], corrections: Sequence[Correction]
) -> np.ndarray:
    """What to add to corrected values so that their mean is their variance, for panels that show values below zero.

    Parameters
    ----------
    images : ImageSequence
    masks : sequence of (slow, fast) bool
        Good pixels of each panel, True is good. The trusted range is applied on top.
    indices : sequence of int
        Images to look at, counted from 0.
    corrections : sequence of Correction
        From raw values to photons, of each panel.

    Returns
    -------
    (n_panels,) float64, counts
        Median over windows of variance - mean; 0 for panels without values below zero.
    """
    detector = images.experiment.detector
    found = np.zeros(len(detector))
    wanted = [p for p in range(len(detector)) if values_may_be_negative(images, p)]
    if not wanted:
        return found
    differences: dict[int, list[np.ndarray]] = {p: [] for p in wanted}
    negative = dict.fromkeys(wanted, False)
    for index in indices:
        panels = images.read(int(index))
        for p in wanted:
            raw = np.ascontiguousarray(panels[p])
            low, high = detector[p].trusted_range
            good = trusted_mask(raw, masks[p], low, high, np.empty(raw.shape, np.bool_))
            values = corrections[p].apply(raw, np.empty(raw.shape, np.float32))
            negative[p] |= bool((values[good] < 0.0).any())
            differences[p].append(_excess(values, good))
    for p in wanted:
        excess = np.concatenate(differences[p])
        if negative[p] and len(excess) >= _FEWEST_WINDOWS:
            found[p] = max(float(np.median(excess)), 0.0)
    return found


def _excess(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(n,) float64: variance - mean of the windows of an image that have enough good pixels."""
    rows, columns = (size // _WINDOW for size in values.shape)
    shape = (rows, _WINDOW, columns, _WINDOW)
    good = good[: rows * _WINDOW, : columns * _WINDOW].reshape(shape)
    v = np.where(good, values[: rows * _WINDOW, : columns * _WINDOW].reshape(shape), 0.0).astype(np.float64)
    n = good.sum(axis=(1, 3))
    enough = n >= max(_LEAST_COVERAGE * _WINDOW**2, 2)
    n = n[enough]
    mean = v.sum(axis=(1, 3))[enough] / n
    variance = ((v**2).sum(axis=(1, 3))[enough] - n * mean**2) / (n - 1)
    return np.asarray(variance - mean)
