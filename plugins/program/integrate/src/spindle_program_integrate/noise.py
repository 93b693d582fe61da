"""The noise of pixels beyond that of counted photons: reading an integrating camera, and an offset of its zero.

The variance of a pixel without signal is its mean where photons are counted. An integrating camera adds the variance of
reading, and when a pedestal was taken off that was too large the mean lies below the variance, even below zero. The
difference, variance - mean, is the same for all pixels of a panel: it is taken from the background pixels of many
reflections and added to data and background alike ("lifted"), so that the background is again the variance of a pixel
without signal while all differences stay. Profile fitting that knows photon counts only is right for such data then.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.images import Correction
from spindle.models import Detector
from spindle.table import Shoeboxes

from .kernels import background_scatter, has_negative

__all__ = ["counts_photons", "lifted", "noise_beyond_counts"]

FEWEST_PIXELS = 10
LEAST_PART = 0.25
SIGNIFICANT = 4.0


def counts_photons(detector: Detector, corrections: Sequence[Correction]) -> np.ndarray:
    """(n_panels,) bool: pixel-array detectors whose values are counts as they are (gain 1, no map of gains)."""
    return np.array(
        [
            "PAD" in panel.type and correction.gain.size == 1 and float(correction.gain[0, 0]) == 1.0
            for panel, correction in zip(detector, corrections, strict=True)
        ]
    )


def noise_beyond_counts(shoeboxes: Shoeboxes, counting: np.ndarray) -> np.ndarray:
    """Variance of a pixel without signal less its mean.

    Parameters
    ----------
    shoeboxes : Shoeboxes
        n shoeboxes with their background and with the mask bit of the pixels that it was made from.
    counting : (n_panels,) bool
        Panels that count photons; values below zero say that one does not.

    Returns
    -------
    (n,) float64, counts^2
        0 for panels that count photons. Where means exceed the variance (an offset that was not taken off, or a camera
        that spreads photons over pixels) it is 0, too: then the mean is the safer variance.
    """
    n = len(shoeboxes)
    beyond = np.zeros(n)
    panels = np.unique(shoeboxes.panel)
    if not n or (counting[panels].all() and not has_negative(shoeboxes.data, shoeboxes.mask)):
        return beyond
    pixels, lowest = np.zeros(n, np.int64), np.zeros(n)
    scatter, level = np.zeros(n), np.zeros(n)
    background_scatter(
        shoeboxes.offsets, shoeboxes.data, shoeboxes.mask, shoeboxes.background, pixels, lowest, scatter, level
    )
    for panel in panels:
        mine = shoeboxes.panel == panel
        known = np.flatnonzero(mine & (pixels >= FEWEST_PIXELS))
        if not len(known) or (counting[panel] and lowest[known].min() >= 0.0):
            continue
        excess = scatter[known] - level[known]
        common = float(np.median(excess))
        uncertainty = 1.25 * 1.4826 * float(np.median(np.abs(excess - common))) / np.sqrt(len(excess))
        if common <= SIGNIFICANT * uncertainty:  # photon counts, however they were scaled
            continue
        least = LEAST_PART * float(np.median(scatter[known]))
        # no pixel is quieter than the camera itself, whatever the noise of the level
        beyond[mine] = np.maximum(common, least - level[mine])
    return beyond


def lifted(shoeboxes: Shoeboxes, beyond: np.ndarray) -> Shoeboxes:
    """Shoeboxes whose data and background are raised by ``beyond`` (n,); the same ones where nothing is to be added."""
    if not beyond.any():
        return shoeboxes
    add = np.repeat(beyond, np.diff(shoeboxes.offsets)).astype(np.float32)
    s = shoeboxes
    return Shoeboxes(s.panel, s.bbox, s.offsets, s.data + add, s.mask, s.background + add)
