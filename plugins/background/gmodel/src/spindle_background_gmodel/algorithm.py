"""The background model ``gmodel``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.background import BackgroundEstimate, BackgroundLearner, usable_pixels
from spindle.errors import ParameterError
from spindle.models import Detector, Experiment
from spindle.params import Bool, Float, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes
from spindle_lib_background_images.files import BackgroundImages, name_of_images, read_models
from spindle_lib_background_images.modelling import Modeller
from spindle_lib_background_images.sums import PixelStatistics
from spindle_lib_noise.robust_counts import moments_grid

from . import kernels

__all__ = ["GmodelBackground"]


class GmodelBackground(Algorithm):
    """An image of the background, scaled to each reflection.

    The image comes from ``spindle model_background``; without ``gmodel.model`` one is made in the same way from up to 200 images before
    reflections are measured.

    References
    ----------
    Parkhurst, J. M. et al. (2017). IUCrJ 4, 626-638.
    """

    citations = (
        Citation(
            "Parkhurst, J. M. & Thorn, A. & Vollmar, M. & Winter, G. & Waterman, D. G. & Fuentes-Montero, L. & Gildea, R. J. & Murshudov, G. N. & Evans, G.",
            2017,
            "Background modelling of diffraction data in the presence of ice rings",
            "IUCrJ",
            "4",
            "626-638",
            "10.1107/S2052252517010259",
        ),
    )

    class Params(ParamsBase):
        """An image of the background, scaled."""

        class robust(ParamsBase):
            """How outliers are tamed."""

            algorithm = Bool(
                False, help="Find the scale by a robust Poisson fit; otherwise it is the ratio of the sums.", level=0
            )
            tuning_constant = Float(
                1.345, min=1e-3, help="Residuals beyond this many standard deviations count no more than that.", level=1
            )

        min_pixels = Int(10, min=1, help="Fewest background pixels that a shoebox needs.", level=1)
        model = PathParam(
            None,
            none=True,
            help="File that spindle model_background wrote; without one the images themselves are looked at.",
        )

    def __init__(self, params: object = None, context: object = None) -> None:
        super().__init__(params, context)
        self._moments = moments_grid(float(self.params.robust.tuning_constant))

    @hookimpl
    def make_background_learner(self, experiment: Experiment) -> BackgroundLearner:
        """See `spindle.contracts.background.BackgroundSpec`."""
        if self.params.model is None:
            return ImageLearner(experiment)
        return KnownModel(model_for(str(self.params.model), experiment))

    @hookimpl
    def estimate_background(
        self, shoeboxes: Shoeboxes, detector: Detector | None = None, learned: BackgroundImages | None = None
    ) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`. Without anything learned the model is flat."""
        s, used, n = shoeboxes, usable_pixels(shoeboxes.mask), len(shoeboxes)
        model = np.zeros(len(used), np.float32)
        if learned is None:
            model[:] = 1.0
        else:
            for p in np.unique(s.panel):
                mine = np.flatnonzero(s.panel == p)
                kernels.take_model(
                    learned.images[int(p)], learned.scales, learned.first, s.bbox, s.offsets, mine, model
                )
            used &= model > 0  # nothing is known elsewhere
        background = np.zeros(len(used), np.float32)
        mean, mean_variance, success = np.zeros(n), np.zeros(n), np.zeros(n, np.bool_)
        kernels.scale_models(
            s.data, used.view(np.uint8), s.mask, s.offsets, model, self.params.min_pixels, self.params.robust.algorithm,
            float(self.params.robust.tuning_constant), self._moments, background, mean, mean_variance, success,
        )  # fmt: skip
        return BackgroundEstimate.from_pixels(s, background, used, success, mean=mean, mean_variance=mean_variance)


def model_for(path: str, experiment: Experiment) -> BackgroundImages:
    """The model of the images of an experiment: that of their name, or the only one."""
    models, name = read_models(path), name_of_images(experiment)
    found = [m for m in models if m.name == name] or (models if len(models) == 1 else [])
    if not found:
        raise ParameterError(
            f"background.gmodel.model={path}: it has models of {', '.join(m.name for m in models)}, none of {name}; make one with "
            "spindle model_background"
        )
    shapes = [(p.image_size[1], p.image_size[0]) for p in experiment.detector]
    of_model = [image.shape for image in found[0].images]
    if of_model != shapes:
        raise ParameterError(
            f"background.gmodel.model={path}: its images have the sizes {of_model} (slow, fast), the panels {shapes}; make one of these "
            "images with spindle model_background"
        )
    return found[0]


class KnownModel(BackgroundLearner):
    """Looks at no image.

    Parameters
    ----------
    model : BackgroundImages
    """

    most_images = 0

    def __init__(self, model: BackgroundImages) -> None:
        self.model = model

    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """See `BackgroundLearner.add_image`."""

    def join(self, later: Any) -> None:
        """See `BackgroundLearner.join`."""

    def finish(self) -> BackgroundImages:
        """The model."""
        return self.model


class ImageLearner(BackgroundLearner):
    """Makes the image from those of the scan.

    Parameters
    ----------
    experiment : Experiment
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.sums = [PixelStatistics((p.image_size[1], p.image_size[0])) for p in experiment.detector]

    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """See `BackgroundLearner.add_image`."""
        for sums, values, good in zip(self.sums, panels, free, strict=True):
            sums.add(values, good)

    def join(self, later: ImageLearner) -> None:
        """See `BackgroundLearner.join`."""
        for mine, other in zip(self.sums, later.sums, strict=True):
            mine.add_all(other)

    def finish(self) -> BackgroundImages | None:
        """The model; None where there is no count to make one of."""
        modelled = Modeller()(self.experiment, self.sums)
        if not any((m.model > 0).any() for m in modelled):
            return None
        images = tuple(m.model.astype(np.float32) for m in modelled)
        return BackgroundImages(name_of_images(self.experiment), images, 0, np.zeros(0))
