"""The method ``inversion``: the place about which the image looks the same when inverted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.params import Floats, Int
from spindle.params import Params as ParamsBase

from .correlation import best_inversion, binned, prepared

#: Sizes to which images are binned: for the first look and the uncertainty, and for the second look.
COARSE_SIZE, FINE_SIZE = 700, 1400
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

    class Params(ParamsBase):
        """Where is looked."""

        guess_position = Floats(
            None, size=2, none=True, units="pixels",
            help="Where to look, fast and slow; where the models say the beam is when not given.",
        )  # fmt: skip
        inversion_window_width = Int(
            400, min=1, max=100_000, units="pixels", help="How far from there, to either side."
        )
        convolution_width = Int(
            1, min=1, max=100_000, units="pixels", help="Width of a running mean; 1 leaves the image as it is."
        )

    @hookimpl
    def find_centre(self, image: ImageSummary, axes: tuple[int, ...]) -> tuple[AxisCentre, ...]:
        """Invert the image about every half pixel; see the class."""
        from spindle_lib_projections.profiles import mean_profile

        found = self._find(image)
        return tuple(
            AxisCentre(
                float(found.centre[axis]),
                float(found.uncertainty[axis]),
                float(np.clip(found.correlation, 0.0, 1.0)),
                np.log1p(np.maximum(mean_profile(image.mean, image.good, axis), 0.0)),
            )
            for axis in axes
        )

    def _find(self, image: ImageSummary) -> Inversion:
        if not image.good.any() or not np.ptp(image.mean[image.good]) > 0:
            raise BeamPositionError("inversion: the image is the same everywhere: there is nothing to compare")
        values, good = prepared(image.mean, image.good, self.params.convolution_width)
        size = np.array(image.mean.shape[::-1])
        guess, reach = self._guess(image, size), float(self.params.inversion_window_width)
        coarse_factor, fine_factor = (int(np.ceil(size.max() / limit)) for limit in (COARSE_SIZE, FINE_SIZE))
        coarse = binned(values, good, coarse_factor)
        first = best_inversion(*coarse, guess / coarse_factor, reach / coarse_factor)
        if first is None or first[1] < LEAST_CORRELATION:
            best = "" if first is None else f" (best correlation {first[1]:.2f})"
            raise BeamPositionError(
                f"inversion: about no place within {reach:.0f} pixels of {guess[0]:.0f}, {guess[1]:.0f} does the image look "
                f"the same when inverted{best}. Give more images, inversion.guess_position= or a larger "
                "inversion_window_width="
            )
        scatter = self._scatter(*coarse, first[0], FINE_REACH) * coarse_factor
        if coarse_factor > fine_factor:
            ratio = coarse_factor / fine_factor
            second = best_inversion(*binned(values, good, fine_factor), first[0] * ratio, FINE_REACH * ratio)
            if second is not None:
                return Inversion(second[0] * fine_factor, second[1], scatter)
        return Inversion(first[0] * coarse_factor, first[1], scatter)

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
