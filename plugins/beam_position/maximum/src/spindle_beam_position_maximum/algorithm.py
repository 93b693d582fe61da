"""The method ``maximum``: the brightest place."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.params import Int
from spindle.params import Params as ParamsBase

#: How far the peak must stand out, in units of the highest value elsewhere: to be taken at all, and to be beyond doubt.
LEAST_CONTRAST, CLEAR = 2.0, 10.0


class MaximumBeamPosition(Algorithm):
    """Brightest place of the images, for a beam that is not stopped.

    The part of the image where columns (or rows) are brightest on average is looked for first, so that a single hot pixel
    or spot elsewhere does not count; in it, the centre of the highest peak is taken. This is the method for electrons and
    for images with the attenuated direct beam.
    """

    class Params(ParamsBase):
        """How the brightest part is looked for."""

        bin_width = Int(
            20, min=1, max=100_000, units="pixels", help="Width of a part whose mean brightness is compared."
        )
        bin_step = Int(10, min=1, max=100_000, units="pixels", help="Distance between parts.")
        n_convolutions = Int(1, min=0, max=1000, help="How often the profile of the highest pixels is smoothed.")
        convolution_width = Int(
            1, min=1, max=100_000, units="pixels", help="Width of the running mean; 1 leaves it as it is."
        )

    @hookimpl
    def find_centre(self, image: ImageSummary, axes: tuple[int, ...]) -> tuple[AxisCentre, ...]:
        """Brightest part, then its highest peak; see the class."""
        return tuple(self._along(image, axis) for axis in axes)

    def _along(self, image: ImageSummary, axis: int) -> AxisCentre:
        from spindle_lib_projections.profiles import box_smooth, fill_gaps, max_profile, mean_profile

        name = ("fast", "slow")[axis]
        mean = mean_profile(image.mean, image.good, axis)
        highest = max_profile(image.maximum, image.good, axis)
        if not np.isfinite(mean).any() or not np.nanmax(highest) > np.nanmin(highest):
            raise BeamPositionError(f"maximum: the image is the same everywhere along {name}: nothing is brightest")
        mean, highest = fill_gaps(mean), fill_gaps(highest)
        for _ in range(self.params.n_convolutions):
            highest = box_smooth(highest, self.params.convolution_width)
        width = min(self.params.bin_width, len(mean))
        starts = np.arange(0, len(mean) - width + 1, self.params.bin_step)
        sums = np.concatenate([[0.0], np.cumsum(mean)])
        start = int(starts[np.argmax(sums[starts + width] - sums[starts])])
        peak = start + int(np.argmax(highest[start : start + width]))
        position, half = _centre_of_peak(highest, peak)
        far = np.abs(np.arange(len(highest)) + 0.5 - position) > max(2 * width, 4 * half)
        base = float(np.median(highest))
        rest = float(highest[far].max()) - base if far.any() else 0.0
        contrast = (highest[peak] - base) / rest if rest > 0 else np.inf
        if contrast < LEAST_CONTRAST:
            raise BeamPositionError(
                f"maximum: nothing stands out along {name}: the brightest place is only {contrast:.1f} times as high as "
                f"others, {LEAST_CONTRAST:g} times is asked for. The direct beam is stopped, or masked by the trusted range; "
                "try method=midpoint or inversion"
            )
        return AxisCentre(position, max(half / 2.355, 0.3), float(min(1.0, contrast / CLEAR)), highest)


def _centre_of_peak(profile: np.ndarray, peak: int) -> tuple[float, float]:
    """Centre of mass of what is above half the height of a peak, and its full width there, in pixels."""
    half = 0.5 * (profile[peak] + np.median(profile))
    below = np.flatnonzero(profile < half)
    left, right = below[below < peak], below[below > peak]
    low = int(left[-1]) + 1 if len(left) else 0
    high = int(right[0]) if len(right) else len(profile)
    weight = profile[low:high] - half
    if not weight.sum() > 0:
        return peak + 0.5, 1.0
    return float(np.average(np.arange(low, high) + 0.5, weights=weight)), float(high - low)
