"""The gain as DIALS takes it from an image: the median index of dispersion of all pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.images import ImageSequence, trusted_mask
from spindle_lib_noise.gain import GainEstimate
from spindle_lib_noise.windows import window_statistics

__all__ = ["MedianDispersion", "median_dispersion", "uncertainty"]

# Values beyond the quartiles by more than this many interquartile ranges are left out (Tukey, J. W. (1977). Exploratory
# Data Analysis. Addison-Wesley).
_FENCE = 1.5


@dataclass(frozen=True, slots=True)
class MedianDispersion:
    """Indices of dispersion of the windows around all pixels of an image.

    Attributes
    ----------
    quartiles : (float, float, float)
    gain : float
        Median of those between the fences; not a number when the quartiles coincide.
    """

    quartiles: tuple[float, float, float]
    gain: float


def median_dispersion(images: ImageSequence, index: int, kernel: tuple[int, int]) -> MedianDispersion:
    """Quartiles and median of the index of dispersion as dials.estimate_gain finds them.

    A pixel whose window is cut by an edge, or holds a bad pixel or no counts, has the value 1. So the result is drawn
    towards 1, the more so the more gaps the detector has; spots draw it up.

    Parameters
    ----------
    images : ImageSequence
    index : int
        Image, counted from 0.
    kernel : (int, int), pixels
        Half sizes of the windows, slow and fast.
    """
    full = (2 * kernel[0] + 1) * (2 * kernel[1] + 1)
    parts = []
    for p, raw in enumerate(images.read(index)):
        low, high = images.experiment.detector[p].trusted_range
        image = np.ascontiguousarray(raw)
        good = trusted_mask(image, images.mask(p), low, high, np.empty(image.shape, np.bool_))
        count, mean, dispersion = window_statistics(image, good, kernel)
        parts.append(np.where((count == full) & (mean > 0), dispersion, 1.0).reshape(-1))
    values = np.sort(np.concatenate(parts))
    q1, q2, q3 = (float(_at(values, part)) for part in (0.25, 0.5, 0.75))
    reach = _FENCE * (q3 - q1)
    inside = values[(values > q1 - reach) & (values < q3 + reach)]
    return MedianDispersion((q1, q2, q3), float(_at(inside, 0.5)) if len(inside) else float("nan"))


def _at(ordered: np.ndarray, part: float) -> float:
    """The value below which a part of the ordered values lies, without interpolation."""
    return float(ordered[min(int(np.floor(len(ordered) * part + 0.5)), len(ordered) - 1)])


def uncertainty(found: GainEstimate, of_smaller: GainEstimate | None) -> float:
    """Standard deviation of a gain.

    Two parts are added in squares. By chance: the scatter of the windows that agree with the gain, or that of the images
    where it is larger. By what is in the windows besides photon noise (tails of spots, slopes of the background): what
    becomes of the gain in windows of half the size, which hold less of it.

    Parameters
    ----------
    found : GainEstimate
    of_smaller : GainEstimate or None
        From windows of half the size; None where these have too few counts. It is left out when fewer of them agree than
        of the large ones, although there are four times as many: then only those with spots have enough counts.
    """
    nearest = np.sort(np.abs(found.dispersion - found.gain))[: found.n_used]
    chance = float(np.sqrt(np.mean(nearest**2) / max(found.n_used - 1, 1)))
    known = found.of_images[np.isfinite(found.of_images)]
    if len(known) > 2:
        chance = max(chance, float(np.std(known, ddof=1) / np.sqrt(len(known))))
    if of_smaller is None or of_smaller.n_used < found.n_used:
        return chance
    return float(np.hypot(chance, found.gain - of_smaller.gain))
