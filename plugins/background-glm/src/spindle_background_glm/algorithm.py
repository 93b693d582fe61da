"""The ``glm`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.params import Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes

from . import kernels

__all__ = ["GlmBackground"]


class GlmBackground(Algorithm):
    """Robust Poisson regression of the background pixels.

    Unbiased for photon counts however few, and hardly moved by bright pixels of neighbours, ice or cosmic rays. Needs
    counts (gain 1); a shoebox with negative background pixels fails.

    References
    ----------
    Cantoni, E. & Ronchetti, E. (2001). J. Am. Stat. Assoc. 96, 1022-1030.
    Parkhurst, J. M. et al. (2016). J. Appl. Cryst. 49, 1912-1921.
    """

    class Params(ParamsBase):
        """Robust Poisson regression of the background."""

        class robust(ParamsBase):
            """How outliers are tamed."""

            # 1.345: 95 % efficiency for normal errors (Huber 1964, Ann. Math. Stat. 35, 73-101)
            tuning_constant = Float(
                1.345, min=1e-3, help="Residuals beyond this many standard deviations count no more than that.", level=1
            )

        class model(ParamsBase):
            """Shape of the background."""

            algorithm = Choice(
                ["constant2d", "constant3d", "loglinear2d", "loglinear3d"],
                default="constant3d",
                help="Constant or log-linear, one per image (2d) or one for the whole shoebox (3d).",
                level=0,
            )

        min_pixels = Int(10, min=1, help="Fewest background pixels that a shoebox needs.", level=1)

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        used = usable_pixels(shoeboxes.mask)
        n = len(shoeboxes)
        background = np.zeros(len(used), np.float32)
        mean, mean_variance = np.zeros(n), np.zeros(n)
        success = np.zeros(n, np.bool_)
        model = self.params.model.algorithm
        fit = kernels.fit_constant if model.startswith("constant") else kernels.fit_loglinear
        fit(
            shoeboxes.data,
            used.view(np.uint8),
            shoeboxes.mask,
            shoeboxes.bbox,
            shoeboxes.offsets,
            model.endswith("2d"),
            self.params.min_pixels,
            float(self.params.robust.tuning_constant),
            background,
            mean,
            mean_variance,
            success,
        )
        return BackgroundEstimate.from_pixels(
            shoeboxes, background, used, success, mean=mean, mean_variance=mean_variance
        )
