"""The ``glm`` background model."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.models import Detector
from spindle.params import Choice, Float, Int, make
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes

from . import kernels

__all__ = ["GlmBackground"]

log = logging.getLogger(__name__)


class GlmBackground(Algorithm):
    """Robust Poisson regression of the background pixels.

    Unbiased for photon counts however few, and hardly moved by bright pixels of neighbours, ice or cosmic rays. Values
    below zero are no counts: reflections among which there are any are left to ``simple``, which is said once.

    References
    ----------
    Cantoni, E. & Ronchetti, E. (2001). J. Am. Stat. Assoc. 96, 1022-1030.
    Parkhurst, J. M. et al. (2016). J. Appl. Cryst. 49, 1912-1921.
    """

    citations = (
        Citation(
            "Parkhurst, J. M. & Winter, G. & Waterman, D. G. & Fuentes-Montero, L. & Gildea, R. J. & Murshudov, G. N. & Evans, G.",
            2016,
            "Robust background modelling in DIALS",
            "J. Appl. Cryst.",
            "49",
            "1912-1921",
            "10.1107/S1600576716013595",
        ),
        Citation(
            "Cantoni, E. & Ronchetti, E.",
            2001,
            "Robust inference for generalized linear models",
            "J. Am. Stat. Assoc.",
            "96",
            "1022-1030",
        ),
    )

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

    def __init__(self, params: object = None, context: object = None) -> None:
        super().__init__(params, context)
        self._simple: Any = None

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes, detector: Detector | None = None) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        used = usable_pixels(shoeboxes.mask)
        if self.context is not None and kernels.any_negative(shoeboxes.data, used.view(np.uint8)):
            return self._least_squares().estimate_background(shoeboxes=shoeboxes, detector=detector)
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

    def _least_squares(self) -> Any:
        """The ``simple`` model of the same shape; said once, however many threads ask."""
        if self._simple is None:
            shape = self.params.model.algorithm.removeprefix("log")
            kind = self.context.host.load("background", "simple").Params
            params = make(kind, min_pixels=self.params.min_pixels, **{"model.algorithm": shape})
            model = self.context.algorithm("background", "simple", params)
            if self._simple is None:
                self._simple = model
                log.warning(
                    "Background: there are values below zero, which are no photon counts; glm leaves such reflections to "
                    "least squares (background.algorithm=simple, simple.model.algorithm=%s)",
                    shape,
                )
        return self._simple
