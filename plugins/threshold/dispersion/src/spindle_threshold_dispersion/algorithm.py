"""The threshold ``dispersion``."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.params import Auto
from spindle_lib_dispersion.params import DispersionParams, DispersionSettings
from spindle_lib_dispersion.windows import LARGEST_NARROW_WINDOW

from .kernels import dispersion

__all__ = ["DispersionThreshold"]


class DispersionThreshold(Algorithm):
    """Strong pixels stand out from windows that vary more than counting statistics allow.

    References
    ----------
    Winter, G. et al. (2018). Acta Cryst. D74, 85-97.
    """

    citations = (
        Citation(
            "Winter, G. & Waterman, D. G. & Parkhurst, J. M. & Brewster, A. S. & Gildea, R. J. & Gerstel, M. & Fuentes-Montero, L. & Vollmar, M. & Michels-Clark, T. & Young, I. D. & Sauter, N. K. & Evans, G.",
            2018,
            "DIALS: implementation and evaluation of a new integration package",
            "Acta Cryst. D",
            "74",
            "85-97",
            "10.1107/S2059798317017235",
        ),
    )

    scope = "dispersion"
    finds_more_with = "sigma_strong=2"
    gain_parameter = "gain"

    Params = DispersionParams

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._local = threading.local()
        self._settings = DispersionSettings.of(self.params)
        self._is_narrow = self._settings.full <= LARGEST_NARROW_WINDOW

    def _workspace(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Arrays of this thread for images of this shape and type."""
        key = (image.shape, image.dtype)
        if getattr(self._local, "key", None) != key:
            width, (ky, kx) = image.shape[1], self._settings.kernel
            dtype: type[np.generic]
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
    def wants_estimated_gain(self) -> bool:
        """With ``gain=Auto``."""
        return self.params.gain is Auto

    @hookimpl
    def find_strong(self, image: np.ndarray, mask: np.ndarray, gain: float | np.ndarray, out: np.ndarray) -> np.ndarray:
        """Find strong pixels; see `spindle.contracts.threshold.ThresholdSpec`."""
        p, settings = self.params, self._settings
        gains = settings.gains(gain)
        dispersion(
            image, mask.view(np.uint8), gains, float(gains.min()), settings.kernel, p.sigma_background, p.sigma_strong,
            settings.min_local, settings.limit(image, mask), *self._workspace(image), out,
        )  # fmt: skip
        return out
