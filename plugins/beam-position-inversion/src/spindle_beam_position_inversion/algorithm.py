"""The method ``inversion``: the place about which the image looks the same when mirrored."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.params import Floats, Int, Params

#: A mirror must leave at least this part of the profile with a partner.
LEAST_OVERLAP = 0.3


class InversionBeamPosition(Algorithm):
    """Place about which the images look the same when mirrored: Friedel pairs, rings and background alike.

    The highest value of every column (or row) over all images is compared with itself mirrored about each place within a
    window. The score is the correlation of the pairs, in half pixels, so that it does not matter how bright they are.
    """

    class Params(Params):
        """Where is looked."""

        guess_position = Floats(
            None, size=2, none=True, units="pixels",
            help="Where to look, fast and slow; where the models say the beam is when not given.",
        )  # fmt: skip
        inversion_window_width = Int(400, min=1, units="pixels", help="How far from there, to either side.")
        convolution_width = Int(
            1, min=1, units="pixels", help="Width of a running mean; 1 leaves the profile as it is."
        )

    @hookimpl
    def find_centre_along(self, image: ImageSummary, axis: int) -> AxisCentre:
        """Mirror the profile about every half pixel; see the class."""
        from spindle.numerics.profiles import max_profile, strip_uncertainty

        name = ("fast", "slow")[axis]

        def profile_of(part: slice) -> np.ndarray:
            index = (part, slice(None)) if axis == 0 else (slice(None), part)
            return self._prepared(max_profile(image.maximum[index], image.good[index], axis))

        other = image.maximum.shape[axis]
        profile = profile_of(slice(0, other))
        guess = self._guess(image, axis, len(profile))
        found = self._best(profile, guess)
        if found is None:
            raise BeamPositionError(
                f"inversion: no place along {name} within {self.params.inversion_window_width} pixels of {guess:.0f} has "
                "enough of the image on both sides; give inversion.guess_position= or a larger inversion_window_width="
            )

        def in_strip(part: slice) -> float:
            result = self._best(profile_of(part), guess)
            return float("nan") if result is None else result[0]

        return AxisCentre(found[0], strip_uncertainty(in_strip, other), max(0.0, found[1]), profile)

    def _guess(self, image: ImageSummary, axis: int, length: int) -> float:
        if self.params.guess_position is not None:
            return float(self.params.guess_position[axis])
        expected = float(image.expected[axis])
        return expected if 0 <= expected <= length else 0.5 * length

    def _prepared(self, profile: np.ndarray) -> np.ndarray:
        """The logarithm of the profile, so that one bright spot does not decide; gaps stay gaps."""
        from spindle.numerics.profiles import box_smooth

        if self.params.convolution_width > 1 and np.isfinite(profile).any():
            profile = np.where(np.isfinite(profile), box_smooth(profile, self.params.convolution_width), np.nan)
        return np.asarray(np.log1p(np.maximum(profile, 0.0)))

    def _best(self, profile: np.ndarray, guess: float) -> tuple[float, float] | None:
        """Centre in pixels and correlation there, or None where no place has enough pairs."""
        n = len(profile)
        reach = self.params.inversion_window_width
        # Pixels i and j are mirrored about (i + j + 1) / 2: sums of indices are twice the centre.
        sums = np.arange(max(0, int(2 * (guess - reach)) - 1), min(2 * n - 2, int(2 * (guess + reach)) - 1) + 1)
        known = np.isfinite(profile)
        if len(sums) == 0 or known.sum() < 10:
            return None
        value = np.where(known, profile - np.mean(profile[known]), 0.0)
        # Correlations of all pairs at once: a profile with itself mirrored is a convolution with itself.
        pairs = np.convolve(known.astype(float), known.astype(float))[sums]
        total = np.convolve(value, known.astype(float))[sums]
        product = np.convolve(value, value)[sums]
        square = np.convolve(value**2, known.astype(float))[sums]
        pairs = np.rint(pairs)
        enough = pairs >= LEAST_OVERLAP * known.sum()
        if not enough.any():
            return None
        pairs = np.maximum(pairs, 1.0)
        covariance, variance = product / pairs - (total / pairs) ** 2, square / pairs - (total / pairs) ** 2
        valid = enough & (variance > 1e-9)
        if not valid.any():
            return None
        score = np.where(valid, covariance / np.where(valid, variance, 1.0), -np.inf)
        best = int(np.argmax(score))
        offset = 0.0
        if 0 < best < len(score) - 1 and np.all(np.isfinite(score[best - 1 : best + 2])):
            a, b, c = score[best - 1 : best + 2]
            if a - 2 * b + c < 0:
                offset = 0.5 * (a - c) / (a - 2 * b + c)
        return 0.5 * (sums[best] + offset + 1.0), float(score[best])
