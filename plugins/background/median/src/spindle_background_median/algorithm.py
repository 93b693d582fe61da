"""The ``median`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.params import Choice, Int
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes

from .kernels import fit_median

__all__ = ["MedianBackground"]


class MedianBackground(Algorithm):
    """Median of the background pixels of each shoebox.

    Robust against outliers. Between whole numbers of counts it is interpolated, so that it is not coarse where the background is a
    few counts or less.
    """

    class Params(ParamsBase):
        """Median background."""

        of_counts = Choice(
            ["poisson", "plain"],
            "poisson",
            help="Where pixels are whole numbers. poisson: the mean of the Poisson distribution that has the median, interpolated between "
            "whole numbers. plain: the median, a whole or half number; wrong by up to half a count, sigmas do not know it.",
            level=1,
        )
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
            self.params.of_counts == "poisson",
            background,
            level,
            mean_variance,
            success,
        )
        return BackgroundEstimate.from_pixels(
            shoeboxes, background, used, success, mean=level, mean_variance=mean_variance
        )
