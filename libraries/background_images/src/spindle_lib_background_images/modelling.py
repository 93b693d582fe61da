"""From sums over images to a model of the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle.models import Experiment

from .polar import PolarGrid, axis_of, smoothed_model
from .sums import PixelStatistics

__all__ = ["Modelled", "Modeller"]


@dataclass(frozen=True)
class Modelled:
    """The model of a panel and what it was made from, each (slow, fast) but the last.

    Attributes
    ----------
    model : float64, counts
    good : bool
        Pixels seen on enough images.
    polar : (theta, r) float64, counts
    """

    model: np.ndarray
    good: np.ndarray
    polar: np.ndarray


@dataclass(frozen=True)
class Modeller:
    """How an image becomes a model.

    Attributes
    ----------
    min_images : int
        On how many images a pixel must have been seen; where there are fewer images, on all of them.
    filter_type : str
        ``median`` or ``mean``, along rings.
    kernel_size : int
        Half width of the filter in cells of the polar image.
    niter : int
        Steps of diffusion in holes.
    image_type : str
        ``mean`` or ``min`` of the images.
    """

    min_images: int = 10
    filter_type: str = "median"
    kernel_size: int = 50
    niter: int = 100
    image_type: str = "mean"

    def __call__(self, experiment: Experiment, statistics: Sequence[PixelStatistics]) -> list[Modelled]:
        """The model of each panel."""
        axis = axis_of(experiment.goniometer)
        fewest = min(self.min_images, max(int(s.number.max(initial=0)) for s in statistics))
        out = []
        for p, sums in enumerate(statistics):
            good = sums.good(fewest)
            grid = PolarGrid(experiment.detector, p, experiment.beam, axis)
            model, polar = smoothed_model(
                grid, sums.image(self.image_type), good, self.kernel_size, self.filter_type == "median", self.niter
            )
            out.append(Modelled(model, good, polar))
        return out
