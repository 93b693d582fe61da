"""Which pixels of an image no predicted spot touches: there is nothing in them but background."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable

from .cover_kernels import cover

__all__ = ["GEOMETRY", "FreePixels", "widened"]

GEOMETRY = ("id", "panel", "s1", "xyzcal.px")
MARGIN = 1  # images before and after a box on which a spot is still seen


def widened(experiments: Experiments, sigmas: float) -> Experiments:
    """The experiments with profile models whose foreground reaches further, where they have ``n_sigma``; others as they are."""
    return Experiments(
        replace(e, profile={**e.profile, "n_sigma": float(e.profile["n_sigma"]) + sigmas})
        if e.profile and "n_sigma" in e.profile
        else e
        for e in experiments
    )


class FreePixels:
    """Pixels beside the foregrounds of predicted spots, image by image.

    Parameters
    ----------
    profile : Handle
        The profile plugin, which knows the foregrounds.
    experiments : Experiments
    reflections : ReflectionTable
        Predictions with the columns ``GEOMETRY``; those that reach none of the images cost time only.
    masks : list of (slow, fast) bool
        Pixels of each panel that are good at all.
    """

    def __init__(
        self, profile: Any, experiments: Experiments, reflections: ReflectionTable, masks: list[np.ndarray]
    ) -> None:
        self.masks = masks
        self.free = [m.copy() for m in masks]
        self.spots: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        panel = reflections["panel"].astype(np.int64)
        for p in range(len(masks)):
            rows = np.flatnonzero(panel == p)
            if not len(rows):
                self.spots.append((np.zeros((0, 6), np.int32), np.zeros(1, np.int64), np.zeros(0, np.uint8)))
                continue
            some = reflections.select(rows)
            bbox = np.ascontiguousarray(
                profile.bounding_boxes(experiments=experiments, reflections=some, border=1.0), dtype=np.int32
            )
            found = profile.foreground(experiments=experiments, reflections=some, bbox=bbox)
            self.spots.append((bbox, np.ascontiguousarray(found.offsets), np.ascontiguousarray(found.inside)))

    def on_image(self, z: int) -> list[np.ndarray]:
        """(slow, fast) bool of each panel: good pixels of the image of array index z that are free. The next call changes them."""
        for free, mask, (bbox, offsets, inside) in zip(self.free, self.masks, self.spots, strict=True):
            free[:] = mask
            cover(z, bbox, offsets, inside, MARGIN, free)
        return self.free
