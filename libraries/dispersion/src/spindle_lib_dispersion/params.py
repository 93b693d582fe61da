"""Parameters that the dispersion thresholds share, whatever computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.params import Auto, Float, Int, Ints, Params

from .global_threshold import estimate_global_threshold

__all__ = ["DispersionParams", "DispersionSettings"]


class DispersionParams(Params):
    """Strong pixels by variance and mean of a window."""

    gain = Float(
        None,
        min=0,
        auto=True,
        help="Counts per photon, where the images hold more or less than one; Auto estimates it from some images.",
    )
    kernel_size = Ints(
        (3, 3), max=500, size=2, min=1, help="Half sizes of the window (slow, fast): 3 is 7 pixels.", level=1
    )
    sigma_background = Float(6.0, help="The window varies too much above this many standard deviations.", level=1)
    sigma_strong = Float(3.0, min=0, help="A strong pixel is above the mean by this many standard deviations.", level=1)
    min_local = Int(2, help="Fewest good pixels of a window; 0 demands the whole window.", level=1)
    global_threshold = Float(0.0, auto=True, help="Strong pixels are above it; Auto estimates it for each image.")


@dataclass(frozen=True)
class DispersionSettings:
    """The parameters, checked, in the numbers that kernels take.

    Attributes
    ----------
    kernel : (int, int)
        Half sizes of the window, slow and fast.
    full : int
        Pixels of the window.
    min_local : int
        Fewest good pixels of a window, from 2 to `full`.
    """

    params: Any
    kernel: tuple[int, int]
    full: int
    min_local: int

    @classmethod
    def of(cls, params: Any) -> DispersionSettings:
        """Check parameters.

        Raises
        ------
        ParameterError
            If they contradict each other.
        """
        kernel = (int(params.kernel_size[0]), int(params.kernel_size[1]))
        full = (2 * kernel[0] + 1) * (2 * kernel[1] + 1)
        wanted = params.min_local
        if wanted > full or wanted == 1:
            raise ParameterError(
                f"threshold.dispersion.min_local={wanted}: choose 2 to {full} (the window's pixels), or 0 for all"
            )
        if params.gain not in (None, Auto) and params.gain <= 0:
            raise ParameterError(f"threshold.dispersion.gain={params.gain}: the gain must be positive")
        return cls(params, kernel, full, full if wanted <= 0 else wanted)

    def gains(self, gain: float | np.ndarray) -> np.ndarray:
        """Counts per photon, (1, 1) or (slow, fast) float64, from what the host says and the parameter."""
        given = self.params.gain
        return np.atleast_2d(np.asarray(gain, dtype=np.float64) * (1.0 if given in (None, Auto) else given))

    def limit(self, image: np.ndarray, mask: np.ndarray) -> float:
        """The global threshold of an image."""
        given = self.params.global_threshold
        return float(estimate_global_threshold(image, mask) if given is Auto else given)
