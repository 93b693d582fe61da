"""The threshold ``dispersion_extended``."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.params import Auto, Bool
from spindle_lib_dispersion.params import DispersionParams, DispersionSettings
from spindle_lib_dispersion.windows import LARGEST_NARROW_WINDOW

from .blocks import dispersion_limits, find_blocks
from .kernels import mark_cores, mark_strong

__all__ = ["DispersionExtendedThreshold"]


class DispersionExtendedThreshold(Algorithm):
    """Strong pixels stand out from a background that is estimated without the spots.

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

    class Params(DispersionParams):
        """Strong pixels by variance and mean of a window."""

        legacy_erosion = Bool(
            False, help="Masked pixels cut into the spots beside them, as in DIALS to version 3.12.", level=2
        )

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._local = threading.local()
        self._settings = DispersionSettings.of(self.params)
        (ky, kx), full = self._settings.kernel, self._settings.full
        # Squares up to this one are summed in int32 without overflow.
        self._cap = int(np.sqrt((2**31 - 1) // full))
        # The second window is two pixels larger on each side.
        self._is_narrow = (2 * ky + 5) * (2 * kx + 5) <= LARGEST_NARROW_WINDOW
        self._limits = dispersion_limits(full, self.params.sigma_background, self._settings.min_local)

    def _workspace(self, image: np.ndarray) -> tuple[np.ndarray, ...]:
        """Arrays of this thread for images of this shape and type."""
        key = (image.shape, image.dtype)
        if getattr(self._local, "key", None) != key:
            height, width = image.shape
            kernel = self._settings.kernel
            size, padded = 2 * min(kernel) - 1, width + 2 * kernel[1]
            is_integer = image.dtype == np.int32
            narrow = (np.int32 if self._is_narrow else np.int64) if is_integer else np.float64
            self._local.arrays = (
                np.zeros((-(-height // size), -(-width // size)), np.uint8),
                np.zeros((2, width, 2), np.int64),
                narrow(self._cap if is_integer else np.inf),
                np.zeros((2, padded), narrow),
                np.zeros((2, padded), narrow),
                np.zeros((2, padded), np.int32),
                np.zeros(width, np.int64 if is_integer else np.float64),
                np.zeros(width, np.int64),
                np.zeros((size, width), np.uint8),
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
        p, kernel = self.params, self._settings.kernel
        gains = self._settings.gains(gain)
        limit = self._settings.limit(image, mask)
        good, strong, exact = mask.view(np.uint8), out.view(np.uint8), image.dtype == np.int32
        blocks, spans, cap, sums_x, sums_y, sums_m, column_y, summed_row, eroded = self._workspace(image)
        test = (image, good, gains, kernel, self._limits, p.legacy_erosion)
        find_blocks(*test, float(gains.min()), cap, sums_x, sums_y, sums_m, blocks)
        column_x, column_m = sums_x[0, : image.shape[1]], sums_m[0, : image.shape[1]]
        mark_cores(*test, exact, blocks, spans, column_x, column_y, column_m, summed_row, eroded, strong)
        mark_strong(
            image,
            good,
            gains,
            kernel,
            p.sigma_strong,
            limit,
            exact,
            blocks,
            spans,
            column_x,
            column_m,
            summed_row,
            strong,
        )
        return out
