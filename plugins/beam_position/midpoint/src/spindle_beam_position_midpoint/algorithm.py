"""The method ``midpoint``: the middle of the diffuse scattering."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.beam_position import AxisCentre, BeamPositionError, ImageSummary
from spindle.params import Float, Floats, Int
from spindle.params import Params as ParamsBase

#: Groups of midpoints that are compared.
N_GROUPS = 3
#: Midpoints within this part of the smoothing width are one group.
GROUP_WIDTH = 0.5

#: An uncertainty, in pixels, that halves the quality.
POOR_PX = 5.0


class MidpointBeamPosition(Algorithm):
    """Middle of the diffuse scattering around the beam.

    The mean of every column (or row) of the image is smoothed and cut at many levels; the middles of the stretches above
    a level agree where the scattering is symmetric about the beam. A beam stop's shadow does not harm.
    """

    class Params(ParamsBase):
        """How the profile is cut."""

        exclude_intensity_percent = Float(
            0.01, min=0, max=50, help="So many percent of the pixels, the brightest, are left out: spots."
        )
        intersection_range = Floats(
            (0.3, 0.9, 0.01), size=3, min=0, max=1,
            help="First and last level and the step between levels, in units of the highest value above the lowest.",
        )  # fmt: skip
        convolution_width = Int(80, min=1, max=100_000, units="pixels", help="Width of the running mean.")
        intersection_min_width = Int(10, min=1, units="pixels", help="Narrower stretches do not count.")

    @hookimpl
    def find_centre(self, image: ImageSummary, axes: tuple[int, ...]) -> tuple[AxisCentre, ...]:
        """Cut the profile at many levels; see the class."""
        return tuple(self._along(image, axis) for axis in axes)

    def _along(self, image: ImageSummary, axis: int) -> AxisCentre:
        from spindle_lib_projections.profiles import box_smooth, fill_gaps, mean_profile, strip_uncertainty

        good = image.good & (image.mean <= self._limit(image))

        def profile_of(part: slice) -> np.ndarray:
            index = (part, slice(None)) if axis == 0 else (slice(None), part)
            return mean_profile(image.mean[index], good[index], axis)

        other = image.mean.shape[axis]
        profile = profile_of(slice(0, other))
        known = np.isfinite(profile)
        if not known.any() or not np.ptp(profile[known]) > 0:
            raise BeamPositionError(
                f"midpoint: the image is the same everywhere along {('fast', 'slow')[axis]}: there is no scattering to see"
            )
        width = max(1, min(self.params.convolution_width, len(profile) // 8))
        smooth = box_smooth(fill_gaps(profile), width)
        found = self._centre(smooth, width)
        if found is None:
            raise BeamPositionError(
                f"midpoint: nowhere along {('fast', 'slow')[axis]} does the scattering fall off on both sides: the beam is "
                "too near the edge, or the images show no diffuse scattering; try method=inversion or maximum"
            )

        def in_strip(part: slice) -> float:
            values = profile_of(part)
            if np.count_nonzero(np.isfinite(values)) < len(values) // 2:
                return float("nan")
            result = self._centre(box_smooth(fill_gaps(values), width), width)
            return float("nan") if result is None else result[0]

        uncertainty = float(np.fmax(strip_uncertainty(in_strip, other), found[1]))
        # Levels agree in a smooth profile of nothing, too: strips of the image then do not.
        return AxisCentre(found[0], uncertainty, found[2] / (1 + (uncertainty / POOR_PX) ** 2), smooth)

    def _limit(self, image: ImageSummary) -> float:
        """Brightest value that is not taken for a spot."""
        values = image.mean[image.good]
        if len(values) == 0:
            raise BeamPositionError("midpoint: the image has no good pixel")
        rank = int(np.ceil(len(values) * (1 - self.params.exclude_intensity_percent / 100))) - 1
        return float(np.partition(values, max(rank, 0))[max(rank, 0)])

    def _centre(self, smooth: np.ndarray, width: int) -> tuple[float, float, float] | None:
        """Position, spread of the middles over the root of their number, and fraction of the levels that agree."""
        low, high = smooth.min(), smooth.max()
        if not high > low:
            return None
        scaled = (smooth - low) / (high - low)
        first, last, step = self.params.intersection_range
        levels = np.arange(first, last + 0.5 * step, step) if step > 0 else np.array([first])
        middles, widths = self._stretches(scaled, levels)
        if len(middles) == 0:
            return None
        order = np.argsort(middles)
        middles, widths = middles[order], widths[order]
        group = np.concatenate([[0], np.cumsum(np.diff(middles) > GROUP_WIDTH * width)])
        n = np.bincount(group)
        mean_width = np.bincount(group, widths) / n
        widest = np.argsort(-mean_width, kind="stable")[:N_GROUPS]
        chosen = group == widest[np.argmax(n[widest])]
        members = middles[chosen]
        spread = float(np.std(members) / np.sqrt(len(members)))
        return float(members.mean()), spread, min(1.0, len(members) / len(levels))

    def _stretches(self, scaled: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Middles and widths of the stretches above each level, ends between pixels; open ones are left out."""
        middles, widths = [], []
        for level in levels:
            above = scaled > level
            up = np.flatnonzero(~above[:-1] & above[1:])
            down = np.flatnonzero(above[:-1] & ~above[1:])
            if len(up) == 0 or len(down) == 0:
                continue
            down = down[down > up[0]]
            up = up[: len(down)]
            left = up + 0.5 + (level - scaled[up]) / (scaled[up + 1] - scaled[up])
            right = down + 0.5 + (scaled[down] - level) / (scaled[down] - scaled[down + 1])
            wide = right - left >= self.params.intersection_min_width
            middles.append(0.5 * (left + right)[wide])
            widths.append((right - left)[wide])
        if not middles:
            return np.empty(0), np.empty(0)
        return np.concatenate(middles), np.concatenate(widths)
