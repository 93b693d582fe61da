"""What the author of a format knows of an example file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["ExpectedImage"]


@dataclass(frozen=True)
class ExpectedImage:
    """What a test knows of the images of `FormatContract.image_file`; None is not known, or not in the file.

    Attributes
    ----------
    pixels : list of list of (slow, fast) arrays
        Pixels of each panel of each image, the first row first, as a program has to see them.
    wavelength : float, angstrom
    distance : float, mm
        From the crystal to the detector along its normal.
    beam_centre : (float, float), pixels
        Where the beam meets the first panel, along fast and slow, from the outer corner of the first pixel.
    pixel_size : (float, float), mm
    start, width : float, degrees
        Angle at which the first image begins, and its width.
    trusted_range : (float, float)
    exposure_time : float, s
    """

    pixels: list[list[np.ndarray]] | None = None
    wavelength: float | None = None
    distance: float | None = None
    beam_centre: tuple[float, float] | None = None
    pixel_size: tuple[float, float] | None = None
    start: float | None = None
    width: float | None = None
    trusted_range: tuple[float, float] | None = None
    exposure_time: float | None = None
