"""From pixel values to colours: contrast, colour schemes, binning.

Each pixel gets a *code*, and a palette turns codes into colours: 0 where there is no pixel, 1 for a masked pixel, 2 to
257 for 256 levels of brightness, 258 for an overload. Codes are in order of importance: a group of pixels that becomes
one shows its largest code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .kernels import HIGHEST, LOWEST, MASKED, OUTSIDE, OVERLOAD, pixel_codes
from .local_statistics import LOCAL_MAPS, least_count, local_map

__all__ = [
    "COLOUR_SCHEMES", "DISPLAYS", "Display", "bin_codes", "codes_of", "codes_of_flags", "contrast_level", "palette",
]  # fmt: skip

DISPLAYS = ("image", "mean", "variance", "dispersion", "sigma_b", "sigma_s", "threshold", "global_threshold")
# Displays that hold only yes and no.
FLAGS = ("sigma_b", "sigma_s", "threshold", "global_threshold")

COLOUR_SCHEMES = ("greyscale", "rainbow", "heatmap", "inverse_greyscale")

_OUTSIDE_COLOUR = (255, 228, 228)
_MASKED_COLOUR = (255, 0, 200)
_OVERLOAD_COLOUR = (254, 254, 1)

# Brightest colour at 1, colours between on straight lines.
_HEAT = np.array(
    [
        (0.0, 25, 25, 25), (0.2, 28, 25, 25), (0.3, 40, 30, 30), (0.4, 73, 39, 39), (0.5, 140, 41, 41),
        (0.55, 195, 27, 27), (0.595, 255, 0, 0), (0.868, 255, 255, 0), (1.0, 255, 255, 255),
    ]
)  # fmt: skip

# A tenth of the pixels is brighter than the level that gets two fifths of the scale.
_LEVEL_QUANTILE = 0.9
_LEVEL_PART = 0.4


@dataclass(frozen=True, slots=True)
class Display:
    """What to show of an image.

    Attributes
    ----------
    what : str
        One of `DISPLAYS`.
    kernel, min_local, gain, sigma_background, sigma_strong, global_threshold
        As for `spindle_lib_pictures.local_statistics.local_map`; a pixel of the display "global_threshold" is above that.

    Raises
    ------
    ValueError
        If `min_local` does not suit the window.
    """

    what: str = "image"
    kernel: tuple[int, int] = (3, 3)
    min_local: int = 2
    gain: float = 1.0
    sigma_background: float = 6.0
    sigma_strong: float = 3.0
    global_threshold: float = 0.0

    def __post_init__(self) -> None:
        least_count(self.min_local, self.kernel)

    @property
    def is_flag(self) -> bool:
        """Whether the display holds only yes and no."""
        return self.what in FLAGS

    def of(self, image: np.ndarray, mask: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The values to show.

        Parameters
        ----------
        image : (slow, fast) int32 or float32
        mask : (slow, fast) bool
            True is good.
        out : (slow, fast) float32, optional
            Memory for a map.

        Returns
        -------
        (slow, fast) number
            The image itself, a map, or 0 and 1.
        """
        if self.what == "image":
            return image
        if self.what == "global_threshold":
            return np.asarray(mask & (image > self.global_threshold))
        if self.what not in LOCAL_MAPS:
            raise ValueError(f"display {self.what!r}: choose one of {', '.join(DISPLAYS)}")
        return local_map(
            image, mask, self.what, self.kernel, self.min_local, self.gain, self.sigma_background, self.sigma_strong,
            self.global_threshold, out,
        )  # fmt: skip


def contrast_level(values: Sequence[np.ndarray]) -> float:
    """The value that a tenth of all pixels exceeds; 2 where that is not positive.

    Parameters
    ----------
    values : sequence of (slow, fast) number
        One array per panel; bad pixels are taken with their values.
    """
    joined = values[0].ravel() if len(values) == 1 else np.concatenate([v.ravel() for v in values])
    place = int(_LEVEL_QUANTILE * (joined.size - 1))
    level = float(np.partition(joined, place)[place])
    return level if level > 0 else 2.0


def codes_of(
    values: np.ndarray,
    level: float,
    brightness: float = 100.0,
    mask: np.ndarray | None = None,
    overload: float | None = None,
) -> np.ndarray:
    """Codes of pixel values.

    Parameters
    ----------
    values : (slow, fast) number
    level : float
        From `contrast_level`; it gets two fifths of the scale from 0 to the full colour.
    brightness : float
        Contrast in per cent.
    mask : (slow, fast) bool, optional
        Where it is False the pixel is shown as masked.
    overload : float, optional
        What is above is shown as overload.

    Returns
    -------
    (slow, fast) uint16
    """
    if values.dtype not in (np.int32, np.float32):
        values = values.astype(np.float32)
    shown = np.broadcast_to(np.uint8(1), values.shape) if mask is None else mask.view(np.uint8)
    out = np.empty(values.shape, np.uint16)
    scale = 256.0 * _LEVEL_PART * brightness / (100.0 * level)
    pixel_codes(
        np.ascontiguousarray(values), np.ascontiguousarray(shown), scale,
        np.inf if overload is None else float(overload), out,
    )  # fmt: skip
    return out


def codes_of_flags(flags: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Codes (slow, fast) uint16 of yes (full colour) and no; see `codes_of`."""
    out = np.where(flags, np.uint16(HIGHEST), np.uint16(LOWEST))
    if mask is not None:
        out[~mask] = MASKED
    return out


def bin_codes(codes: np.ndarray, binning: int) -> np.ndarray:
    """Codes of groups of `binning` x `binning` pixels; groups at the far edges may be smaller."""
    if binning == 1:
        return codes
    height, width = (-(-n // binning) for n in codes.shape)
    rows = np.maximum.reduceat(codes, np.arange(height) * binning, axis=0)
    return np.maximum.reduceat(rows, np.arange(width) * binning, axis=1)


def palette(scheme: str) -> np.ndarray:
    """(259, 3) uint8: red, green and blue of each code.

    Parameters
    ----------
    scheme : str
        "greyscale" (strong is black), "inverse_greyscale", "rainbow" (violet to red) or "heatmap" (black, red, yellow,
        white).
    """
    x = np.arange(256) / 255.0
    if scheme in ("greyscale", "inverse_greyscale"):
        grey = np.arange(256) if scheme == "inverse_greyscale" else 255 - np.arange(256)
        levels = np.repeat(grey[:, None], 3, axis=1)
    elif scheme == "rainbow":
        # Hue from 255 degrees (violet) to 0 (red), slowly at first.
        sextant = 255.0 * np.sqrt(1.0 - x)[:, None] / 60.0
        levels = 255.0 * np.clip(np.abs(sextant - [3.0, 2.0, 4.0]) * [1, -1, -1] + [-1.0, 2.0, 2.0], 0.0, 1.0)
    elif scheme == "heatmap":
        levels = np.stack([np.interp(x, _HEAT[:, 0], _HEAT[:, c]) for c in (1, 2, 3)], axis=1)
    else:
        raise ValueError(f"colour scheme {scheme!r}: choose one of {', '.join(COLOUR_SCHEMES)}")
    colours = np.empty((OVERLOAD + 1, 3), np.uint8)
    colours[OUTSIDE], colours[MASKED], colours[OVERLOAD] = _OUTSIDE_COLOUR, _MASKED_COLOUR, _OVERLOAD_COLOUR
    colours[LOWEST : HIGHEST + 1] = levels
    return colours
