"""Beams that flicker from image to image: by how much, and what factors of images add to the errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .rounds import Scaler

__all__ = ["doubt_images", "tell_of_flicker"]

#: Relative jumps of the scale from image to image that count.
LEAST_FLICKER = 0.003


def flicker(scaler: Scaler) -> dict[int, float]:
    """Rms jump of the scale from image to image, as a fraction, of each data set where there is one."""
    found = {}
    for k, places in enumerate(scaler.layout.slices):
        if "image" in places:
            spread = float(np.std(scaler.parameters[places["image"]]))
            if spread > LEAST_FLICKER:
                found[k] = spread
    return found


def doubt_images(scaler: Scaler) -> None:
    """Allow for the errors of factors of images, which the scatter of equivalents does not show.

    A factor that few observations tell takes up some of their errors: they scatter about it by less than their errors, by as much as they are
    further from the truth. Twice the variance of the scale factor lies between the two.
    """
    if (
        not flicker(scaler)
        or scaler.fit is None
        or not scaler.use_error_model
        or scaler.params.weighting.scale_error != "fitted"
    ):
        return
    doubt = 2.0 * scaler.scale_variances() / scaler.obs.g**2
    scaler.scale_error = doubt if scaler.scale_error is None else np.maximum(scaler.scale_error, doubt)


def tell_of_flicker(scaler: Scaler) -> None:
    """By how much the scale changes from image to image, where it does."""
    for k, spread in flicker(scaler).items():
        scaler.context.log.info(
            "data set %d: the scale jumps by %.1f %% rms from image to image, which is corrected", k, 100 * spread
        )
