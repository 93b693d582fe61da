"""The ``median`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.params import Int
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes

from .kernels import fit_median

__all__ = ["MedianBackground"]


class MedianBackground(Algorithm):
    """Median of the background pixels of each shoebox.

    Robust, but coarse where the background is a few counts: a median of counts is a whole or half number.
    """

    class Params(ParamsBase):
        """Median background."""

        min_pixels = Int(10, min=1, help="Fewest background pixels that a shoebox needs.", level=1)

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        used = usable_pixels(shoeboxes.mask)
        n = len(shoeboxes)
        background = np.zeros(len(used), np.float32)
        level, mean_variance = np.zeros(n), np.zeros(n)
        success = np.zeros(n, np.bool_)
        fit_median(
            shoeboxes.data,
            used.view(np.uint8),
            shoeboxes.offsets,
            self.params.min_pixels,
            background,
            level,
            mean_variance,
            success,
        )
        return BackgroundEstimate.from_pixels(
            shoeboxes, background, used, success, mean=level, mean_variance=mean_variance
        )
