"""The threshold ``dispersion``."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.errors import ParameterError
from spindle.numerics.global_threshold import estimate_global_threshold
from spindle.params import Auto, Float, Int, Ints
from spindle.params import Params as ParamsBase

from .kernels import dispersion

__all__ = ["DispersionThreshold"]

# Windows of more pixels need wider sums than int32: 127 (2^24 - 1) < 2^31.
_LARGEST_NARROW_WINDOW = 127


class DispersionThreshold(Algorithm):
    """Strong pixels stand out from windows that vary more than counting statistics allow.

    References
    ----------
    Winter, G. et al. (2018). Acta Cryst. D74, 85-97.
    """

    scope = "dispersion"

    class Params(ParamsBase):
        """Strong pixels by variance and mean of a window."""

        gain = Float(None, min=0, help="Counts per photon, where the images hold more or less than one.")
        kernel_size = Ints((3, 3), size=2, min=1, help="Half sizes of the window (slow, fast): 3 is 7 pixels.", level=1)
        sigma_background = Float(6.0, help="The window varies too much above this many standard deviations.", level=1)
        sigma_strong = Float(
            3.0, min=0, help="A strong pixel is above the mean by this many standard deviations.", level=1
        )
        min_local = Int(2, help="Fewest good pixels of a window; 0 demands the whole window.", level=1)
        global_threshold = Float(0.0, auto=True, help="Strong pixels are above it; Auto estimates it for each image.")

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._local = threading.local()
        self._kernel = tuple(int(k) for k in self.params.kernel_size)
        full = (2 * self._kernel[0] + 1) * (2 * self._kernel[1] + 1)
        wanted = self.params.min_local
        if wanted > full or wanted == 1:
            raise ParameterError(
                f"threshold.dispersion.min_local={wanted}: choose 2 to {full} (the window's pixels), or 0 for all"
            )
        self._min_local = full if wanted <= 0 else wanted
        self._is_narrow = full <= _LARGEST_NARROW_WINDOW
        if self.params.gain is not None and self.params.gain <= 0:
            raise ParameterError(f"threshold.dispersion.gain={self.params.gain}: the gain must be positive")

    def _workspace(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Arrays of this thread for images of this shape and type."""
        key = (image.shape, image.dtype)
        if getattr(self._local, "key", None) != key:
            width, (ky, kx) = image.shape[1], self._kernel
            if image.dtype == np.int32:
                dtype = np.int32 if self._is_narrow else np.int64
            else:
                dtype = np.float64
            flags = np.zeros(-(-width // 8) * 8, np.uint8)
            self._local.arrays = (
                np.zeros((2, width + 2 * kx), dtype),
                np.zeros((2, width + 2 * kx), np.int32),
                np.zeros((2 * ky + 1, width + 2 * kx), dtype),
                np.zeros((2 * ky + 1, width), np.uint8),
                flags,
                flags.view(np.uint64),
            )
            self._local.key = key
        arrays: tuple[np.ndarray, ...] = self._local.arrays
        return arrays

    @hookimpl
    def find_strong(self, image: np.ndarray, mask: np.ndarray, gain: float | np.ndarray, out: np.ndarray) -> np.ndarray:
        """Find strong pixels; see `spindle.contracts.threshold.ThresholdSpec`."""
        p = self.params
        gains = np.atleast_2d(np.asarray(gain, dtype=np.float64) * (1.0 if p.gain is None else p.gain))
        limit = estimate_global_threshold(image, mask) if p.global_threshold is Auto else p.global_threshold
        dispersion(
            image, mask.view(np.uint8), gains, float(gains.min()), self._kernel, p.sigma_background, p.sigma_strong,
            self._min_local, float(limit), *self._workspace(image), out,
        )  # fmt: skip
        return out
