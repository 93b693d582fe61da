"""The method ``inversion``: the place about which the image looks the same when inverted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.params import Floats, Int, Params

from .correlation import best_inversion, binned, prepared

#: The first look is at an image of at most so many pixels along an axis; the second at this half width, unbinned.
COARSE_SIZE, FINE_HALF_WIDTH = 700, 480
#: The second look goes this many coarse pixels to either side of what the first found.
FINE_REACH = 2.0
#: Correlation that is asked for.
LEAST_CORRELATION = 0.05
#: Pairs of opposite sectors whose centres are compared.
N_SECTORS = 4


class Inversion(NamedTuple):
    """Centre (x, y) in pixels, with the correlation there and the uncertainty along both axes."""

    centre: np.ndarray
    correlation: float
    uncertainty: np.ndarray


class InversionBeamPosition(Algorithm):
    """Place about which the images look the same when inverted: Friedel pairs, rings and background alike.

    The sum of the images is correlated with itself, inverted about every half pixel of a window around the expected
    position. Every pixel is compared with its mate, only pairs of two good pixels count, and the logarithm is taken, so
    that beam stop, gaps and single bright spots do little harm.
    """

    class Params(Params):
        """Where is looked."""

        guess_position = Floats(
            None, size=2, none=True, units="pixels",
            help="Where to look, fast and slow; where the models say the beam is when not given.",
        )  # fmt: skip
        inversion_window_width = Int(400, min=1, units="pixels", help="How far from there, to either side.")
        convolution_width = Int(1, min=1, units="pixels", help="Width of a running mean; 1 leaves the image as it is.")

    @hookimpl
    def find_centre_along(self, image: ImageSummary, axis: int) -> AxisCentre:
        """Invert the image about every half pixel; see the class."""
        from spindle.numerics.profiles import mean_profile

        found = self._find(image)
        return AxisCentre(
            float(found.centre[axis]),
            float(found.uncertainty[axis]),
            float(np.clip(found.correlation, 0.0, 1.0)),
            np.log1p(np.maximum(mean_profile(image.mean, image.good, axis), 0.0)),
        )

    def _find(self, image: ImageSummary) -> Inversion:
        if not image.good.any() or not np.ptp(image.mean[image.good]) > 0:
            raise BeamPositionError("inversion: the image is the same everywhere: there is nothing to compare")
        values, good = prepared(image.mean, image.good, self.params.convolution_width)
        size = np.array(image.mean.shape[::-1])
        guess, reach = self._guess(image, size), float(self.params.inversion_window_width)
        factor = int(np.ceil(size.max() / COARSE_SIZE))
        coarse = best_inversion(*binned(values, good, factor), guess / factor, reach / factor)
        if coarse is None or coarse[1] < LEAST_CORRELATION:
            best = "" if coarse is None else f" (best correlation {coarse[1]:.2f})"
            raise BeamPositionError(
                f"inversion: about no place within {reach:.0f} pixels of {guess[0]:.0f}, {guess[1]:.0f} does the image look "
                f"the same when inverted{best}. Give more images, inversion.guess_position= or a larger "
                "inversion_window_width="
            )
        centre = coarse[0] * factor
        low = np.maximum(np.rint(centre).astype(int) - FINE_HALF_WIDTH, 0)
        high = np.rint(centre).astype(int) + FINE_HALF_WIDTH
        cut = slice(low[1], high[1]), slice(low[0], high[0])
        values, good = values[cut], good[cut]
        fine = best_inversion(values, good, centre - low, FINE_REACH * factor)
        if fine is None:
            return Inversion(centre, coarse[1], np.full(2, float(factor)))
        return Inversion(fine[0] + low, fine[1], self._scatter(values, good, fine[0], FINE_REACH * factor))

    def _guess(self, image: ImageSummary, size: np.ndarray) -> np.ndarray:
        if self.params.guess_position is not None:
            return np.array(self.params.guess_position, dtype=np.float64)
        inside = np.all(np.isfinite(image.expected)) and np.all((image.expected >= 0) & (image.expected <= size))
        return image.expected if inside else 0.5 * size

    @staticmethod
    def _scatter(values: np.ndarray, good: np.ndarray, centre: np.ndarray, reach: float) -> np.ndarray:
        """Standard uncertainty (2,) from the centres that pairs of opposite sectors have."""
        y, x = np.indices(values.shape) + 0.5
        angle = np.arctan2(y - centre[1], x - centre[0]) % np.pi
        sector = np.minimum((angle * (N_SECTORS / np.pi)).astype(int), N_SECTORS - 1)
        found = [best_inversion(values, good & (sector == k), centre, reach, 0.05) for k in range(N_SECTORS)]
        centres = np.array([f[0] for f in found if f is not None])
        if len(centres) < 3:
            return np.full(2, np.nan)
        return np.asarray(
            1.4826 * np.median(np.abs(centres - np.median(centres, axis=0)), axis=0) / np.sqrt(len(centres))
        )
