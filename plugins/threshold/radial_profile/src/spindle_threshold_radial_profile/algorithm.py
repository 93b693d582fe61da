"""The threshold ``radial_profile``."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.models import Beam, Panel
from spindle.params import Bool, Choice, Int
from spindle.params import Params as ParamsBase

from .kernels import count_levels, gather, mark_above, smooth, smooth_all
from .quartiles import quartiles_of_levels, quartiles_of_values
from .rings import RingCache, Rings

__all__ = ["RadialProfileThreshold"]

# Weights at the distances 0, 1, 2 along slow (rows) and fast (columns): the binomial kernel, and a Gaussian of sigma 1
# in the usual integer form (sum 273).
_BLURS = {
    "narrow": ((4, 2, 0), (2, 1, 0), (0, 0, 0)),
    "wide": ((41, 26, 7), (26, 16, 4), (7, 4, 1)),
}
# Entries of the histogram of all rings: a megabyte or two, which stays in the processor's cache.
_HISTOGRAM = 400_000


class RadialProfileThreshold(Algorithm):
    """Strong pixels stand out from the pixels at the same scattering angle.

    The limit of each ring is the median of its pixels plus ``n_iqr`` times their interquartile range. Background that
    depends on the angle alone, powder rings among it, is not mistaken for spots; each panel has rings of its own.
    """

    scope = "radial_profile"
    finds_more_with = "n_iqr=3"

    class Params(ParamsBase):
        """Strong pixels by the median and spread of a ring."""

        n_iqr = Int(6, min=0, help="Strong pixels are above the median by this many interquartile ranges.")
        blur = Choice(
            ["narrow", "wide"],
            None,
            none=True,
            help="Smooth the image first, with 3 x 3 or 5 x 5 pixels: more weak spots, less detail.",
        )
        n_bins = Int(100, min=1, max=65535, help="Rings between the least and the largest angle of a panel.")
        legacy_pixels = Bool(
            False,
            help="As DIALS 3.12: the angle of a pixel is that of its corner, and masked pixels take part in smoothing.",
            level=2,
        )

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._local = threading.local()
        self._rings = RingCache(self.params.n_bins, 0.0 if self.params.legacy_pixels else 0.5)

    def _workspace(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of this thread, zeros when new."""
        arrays = self._local.__dict__.setdefault("arrays", {})
        found = arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            arrays[name] = found = np.zeros(shape, dtype)
        return found

    @hookimpl
    def find_strong(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        gain: float | np.ndarray,
        panel: Panel,
        beam: Beam,
        corner: tuple[int, int],
        out: np.ndarray,
    ) -> np.ndarray:
        """Find strong pixels; see `spindle.contracts.threshold.ThresholdSpec`."""
        good = mask.view(np.uint8)
        rings = self._rings.of(panel, beam, corner, image.shape)
        if (
            isinstance(gain, np.ndarray) and not self.params.legacy_pixels
        ):  # rings hold pixels of any gain: count photons
            image, gain = np.divide(image, gain, out=np.zeros(image.shape), where=gain > 0), 1.0
        if self.params.blur is not None:
            image = self._smoothed(image, good)
        median, spread = self._quartiles(image, good, rings)
        # With few counts the quartiles may coincide; a strong pixel has at least two photons more than the median.
        photon = 1.0 / (panel.gain or 1.0) if self.params.legacy_pixels else float(np.median(gain))
        excess = self.params.n_iqr * spread
        excess[excess <= photon] = 2.0 * photon
        mark_above(image, good, rings.bins, median + excess, out)
        return out

    def _smoothed(self, image: np.ndarray, good: np.ndarray) -> np.ndarray:
        """(slow, fast) float64: the blurred image."""
        smoothed = self._workspace("smoothed", image.shape, np.float64)
        weights = np.array(_BLURS[self.params.blur])
        if self.params.legacy_pixels:
            whole = weights[np.ix_([2, 1, 0, 1, 2], [2, 1, 0, 1, 2])]
            smooth_all(image, whole / whole.sum(), smoothed)
            return smoothed
        kind = np.int64 if image.dtype == np.int32 else np.float64
        width = image.shape[1]
        smooth(
            image,
            good,
            weights.astype(kind),
            *(self._workspace(n, (5, width + 4), kind) for n in ("rows", "rows_good")),
            *(self._workspace(n, (width + 4,), kind) for n in ("nothing", "nothing_good")),
            *(self._workspace(n, (width,), kind) for n in ("total", "total_good")),
            smoothed,
        )
        return smoothed

    def _quartiles(self, image: np.ndarray, good: np.ndarray, rings: Rings) -> tuple[np.ndarray, np.ndarray]:
        """(n_bins,) float64 each: median and interquartile range of the good pixels of each ring."""
        if image.dtype == np.int32:
            n_levels = int(np.clip(_HISTOGRAM // rings.n_bins, 256, 4096))
            counts = self._workspace("counts", (rings.n_bins, n_levels + 1), np.int32)
            if count_levels(image, good, rings.bins, counts):
                found = quartiles_of_levels(counts)
                if found is not None:
                    return found
        values = self._workspace("values", (image.size,), np.float64)
        ends = np.empty(rings.n_bins, np.int64)
        flat = np.ascontiguousarray(image, dtype=np.float64).reshape(-1)
        gather(flat, good.reshape(-1), rings.order, rings.starts, values, ends)
        return quartiles_of_values(values, rings.starts, ends)
