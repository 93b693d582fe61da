"""The ``simple`` background model."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.params import Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.table import Shoeboxes

from . import kernels, outlier_kernels

__all__ = ["SimpleBackground"]


class SimpleBackground(Algorithm):
    """Mean or least-squares plane of the background pixels, after outlier rejection.

    References
    ----------
    Leslie, A. G. W. (1999). Acta Cryst. D55, 1696-1702.
    """

    citations = (
        Citation(
            "Leslie, A. G. W.",
            1999,
            "Integration of macromolecular diffraction data",
            "Acta Cryst. D",
            "55",
            "1696-1702",
            "10.1107/S090744499900846X",
        ),
    )

    class Params(ParamsBase):
        """Least-squares background."""

        class outlier(ParamsBase):
            """Which background pixels are left out before the fit."""

            algorithm = Choice(
                ["null", "nsigma", "truncated", "normal", "plane", "tukey"],
                default="null",
                help="How outliers among the background pixels are found; null keeps every pixel.",
                level=1,
            )

            class nsigma(ParamsBase):
                """Distance from the mean in sample standard deviations."""

                lower = Float(3.0, min=0, help="Keep values above mean - lower * sd.", level=1)
                upper = Float(3.0, min=0, help="Keep values below mean + upper * sd.", level=1)

            class truncated(ParamsBase):
                """A fixed fraction at both ends."""

                lower = Float(0.01, min=0, max=1, help="Twice the fraction of the smallest values to drop.", level=1)
                upper = Float(0.01, min=0, max=1, help="Twice the fraction of the largest values to drop.", level=1)

            class normal(ParamsBase):
                """Drop the brightest pixels while they are brighter than normal deviates would be."""

                min_pixels = Int(10, min=1, help="Fewest pixels to leave.", level=1)

            class plane(ParamsBase):
                """Distance from a plane through the weakest pixels of each slice, as Mosflm does."""

                fraction = Float(
                    1.0, min=0, max=1, help="Fraction of the pixels, weakest first, that define the plane.", level=1
                )
                n_sigma = Float(
                    4.0, min=0, help="Drop pixels further from the plane than n_sigma * sqrt(background).", level=1
                )

            class tukey(ParamsBase):
                """Distance from the quartiles in interquartile ranges."""

                lower = Float(1.5, min=0, help="Keep values above q1 - lower * IQR.", level=1)
                upper = Float(1.5, min=0, help="Keep values below q3 + upper * IQR.", level=1)

        class model(ParamsBase):
            """Shape of the background."""

            algorithm = Choice(
                ["constant2d", "constant3d", "linear2d", "linear3d"],
                default="constant3d",
                help="Constant or plane, one per image (2d) or one for the whole shoebox (3d).",
                level=0,
            )

        min_pixels = Int(10, min=1, help="Fewest background pixels that a shoebox needs.", level=1)

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        used = usable_pixels(shoeboxes.mask)
        flags = used.view(np.uint8)
        self._reject_outliers(shoeboxes, flags)
        n = len(shoeboxes)
        background = np.zeros(len(used), np.float32)
        mean_variance = np.zeros(n)
        success = np.zeros(n, np.bool_)
        model = self.params.model.algorithm
        fit = kernels.fit_constant if model.startswith("constant") else kernels.fit_linear
        fit(
            shoeboxes.data,
            flags,
            shoeboxes.mask,
            shoeboxes.bbox,
            shoeboxes.offsets,
            model.endswith("2d"),
            self.params.min_pixels,
            background,
            mean_variance,
            success,
        )
        return BackgroundEstimate.from_pixels(shoeboxes, background, used, success, mean_variance=mean_variance)

    def _reject_outliers(self, shoeboxes: Shoeboxes, used: np.ndarray) -> None:
        """Clear ``used`` (p,) uint8 of the outliers, in place."""
        outlier = self.params.outlier
        data, bbox, offsets = shoeboxes.data, shoeboxes.bbox, shoeboxes.offsets
        match outlier.algorithm:
            case "nsigma":
                outlier_kernels.reject_nsigma(data, used, offsets, outlier.nsigma.lower, outlier.nsigma.upper)
            case "truncated":
                outlier_kernels.reject_truncated(data, used, offsets, outlier.truncated.lower, outlier.truncated.upper)
            case "normal":
                largest = int(np.diff(offsets).max(initial=0))
                outlier_kernels.reject_normal(data, used, offsets, normal_limits(largest), outlier.normal.min_pixels)
            case "plane":
                outlier_kernels.reject_plane(data, used, bbox, offsets, outlier.plane.fraction, outlier.plane.n_sigma)
            case "tukey":
                outlier_kernels.reject_tukey(data, used, offsets, outlier.tukey.lower, outlier.tukey.upper)


def normal_limits(largest: int) -> np.ndarray:
    """How many standard deviations the largest of n normal deviates is expected to lie out.

    Returns
    -------
    (largest + 1,) float64
        sqrt(2) erfinv(1 - 1 / n) for n = 0 .. largest; 0 for n < 2.
    """
    from scipy.special import erfinv  # costs 0.1 s to import and only this outlier method needs it

    limits = np.zeros(largest + 1)
    limits[2:] = np.sqrt(2.0) * erfinv(1.0 - 1.0 / np.arange(2, largest + 1))
    return limits
