"""The background model ``radial``."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, BackgroundLearner, usable_pixels
from spindle.models import Detector, Experiment
from spindle.params import Float, Int
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes
from spindle_lib_noise.robust_counts import moments_grid

from . import kernels
from .learner import RadialLearner
from .shape import RadialShape, box_areas

__all__ = ["RadialBackground"]


class RadialBackground(Algorithm):
    """Powder rings, solvent and air scatter, learned from the whole scan and scaled to each reflection.

    All images are looked at first: the counts beside the spots give a curve of the resolution, as sharp as rings are and as smooth
    as noise allows, times a smooth image. Under each reflection a robust Poisson fit finds how strong the smooth part and the
    rings are there. Where a ring passes under a spot no mean of the pixels around it can be right.

    References
    ----------
    Cantoni, E. & Ronchetti, E. (2001). J. Am. Stat. Assoc. 96, 1022-1030.
    """

    class Params(ParamsBase):
        """A background that knows the resolution of each pixel."""

        class robust(ParamsBase):
            """How outliers are tamed."""

            # 1.345: 95 % efficiency for normal errors (Huber 1964, Ann. Math. Stat. 35, 73-101)
            tuning_constant = Float(
                1.345, min=1e-3, help="Residuals beyond this many standard deviations count no more than that.", level=1
            )

        class learning(ParamsBase):
            """What is learned from whole images."""

            max_images = Int(
                200,
                min=1,
                max=65_535,
                help="Images to look at, at most, evenly spread over the scan; 16 where these hold enough counts.",
                level=1,
            )

        min_pixels = Int(10, min=1, help="Fewest background pixels that a shoebox needs.", level=1)

    def __init__(self, params: object = None, context: object = None) -> None:
        super().__init__(params, context)
        self._moments = moments_grid(float(self.params.robust.tuning_constant))

    @hookimpl
    def make_background_learner(self, experiment: Experiment) -> BackgroundLearner:
        """See `spindle.contracts.background.BackgroundSpec`."""
        learner = RadialLearner(experiment)
        learner.most_images = self.params.learning.max_images
        return learner

    @hookimpl
    def estimate_background(
        self, shoeboxes: Shoeboxes, detector: Detector | None = None, learned: RadialShape | None = None
    ) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`. Without anything learned the background is flat."""
        used = usable_pixels(shoeboxes.mask)
        _, areas, starts = box_areas(shoeboxes)
        if learned is None or detector is None:
            smooth, sharp, spread = np.ones(int(areas.sum())), np.zeros(int(areas.sum())), 1.0
        else:
            smooth, sharp = learned.in_boxes(detector, shoeboxes)
            spread = learned.spread
        n = len(shoeboxes)
        background = np.zeros(len(used), np.float32)
        mean, mean_variance, success = np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
        flags, s = used.view(np.uint8), shoeboxes
        if (s.data[used] < 0.0).any():
            kernels.fit_values(
                s.data, flags, s.mask, s.offsets, areas, starts, smooth, sharp, self.params.min_pixels, background,
                mean, mean_variance, success,
            )  # fmt: skip
        else:
            kernels.fit_counts(
                s.data, flags, s.mask, s.offsets, areas, starts, smooth, sharp, spread, self.params.min_pixels,
                float(self.params.robust.tuning_constant), self._moments, background, mean,
                mean_variance, success,
            )  # fmt: skip
        return BackgroundEstimate.from_pixels(
            shoeboxes, background, used, success, mean=mean, mean_variance=mean_variance
        )
