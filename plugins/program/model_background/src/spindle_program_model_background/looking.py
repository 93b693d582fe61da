"""The tasks: sums over images beside predicted spots, and how strong each image is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.images import ImageSequence, trusted_mask
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_background_images.kernels import robust_scale
from spindle_lib_background_images.sums import PixelStatistics, statistics_of
from spindle_lib_masks.free_pixels import FreePixels
from spindle_lib_noise.robust_counts import moments_grid

__all__ = ["ImagesBesideSpots", "Look", "Part", "Scale", "parts_of"]

IMAGES_PER_PART = 20
MOST_PARTS = 24
HUBER = 1.345
SAMPLE = 500_000  # pixels of an image that tell its scale


@dataclass(frozen=True)
class Part:
    """Some images of a set and the predictions on them."""

    numbers: np.ndarray
    predicted: ReflectionTable

    def __repr__(self) -> str:
        return f"{len(self.numbers)} images from {self.numbers[0] + 1} on"


def parts_of(numbers: np.ndarray, predicted: ReflectionTable, bbox: np.ndarray) -> list[Part]:
    """Cut array indices of images into tasks, however many workers there are."""
    z0, z1 = bbox[:, 4], bbox[:, 5]
    n = int(np.clip(len(numbers) // IMAGES_PER_PART, 1, MOST_PARTS))
    return [
        Part(part, predicted.select(np.flatnonzero((z1 + 1 >= part[0]) & (z0 - 1 <= part[-1]))))
        for part in np.array_split(numbers, n)
    ]


@dataclass(frozen=True)
class ImagesBesideSpots:
    """Images of a set beside spots.

    Attributes
    ----------
    profile : Handle
    experiments : Experiments
        With foregrounds as wide as is left out.
    sequence : ImageSequence
    first : int
        Array index of its first image.
    masks : list of (slow, fast) bool
    """

    profile: Any
    experiments: Experiments
    sequence: ImageSequence
    first: int
    masks: list[np.ndarray]

    def of(self, part: Part) -> Iterator[tuple[int, list[np.ndarray], list[np.ndarray]]]:
        """Array index, counts and good pixels of each image; memory is used again for the next."""
        free = FreePixels(self.profile, self.experiments, part.predicted, self.masks)
        counts = [np.empty(m.shape, np.float32) for m in self.masks]
        good = [np.empty(m.shape, np.bool_) for m in self.masks]
        panels: list[np.ndarray] | None = None
        corrections = self.sequence.corrections
        for z in part.numbers:
            panels = self.sequence.read(int(z) - self.first, panels)
            beside = free.on_image(int(z))
            for k, panel in enumerate(self.sequence.experiment.detector):
                trusted_mask(panels[k], beside[k], *panel.trusted_range, out=good[k])
                corrections[k].apply(panels[k], counts[k])
            yield int(z), counts, good


@dataclass(frozen=True)
class Look:
    """Sums up the images of a part."""

    images: ImagesBesideSpots

    def __call__(self, part: Part) -> list[PixelStatistics]:
        sums = statistics_of([m.shape for m in self.images.masks])
        for _, counts, good in self.images.of(part):
            for one, values, usable in zip(sums, counts, good, strict=True):
                one.add(values, usable)
        return sums


@dataclass(frozen=True)
class Scale:
    """Finds the scale of each image of a part relative to the model."""

    images: ImagesBesideSpots
    models: list[np.ndarray]

    def __call__(self, part: Part) -> np.ndarray:
        step = max(1, sum(m.size for m in self.models) // SAMPLE)
        model = np.concatenate([m.ravel()[::step] for m in self.models])
        table = moments_grid(HUBER)
        scales = np.full(len(part.numbers), np.nan)
        for i, (_, counts, good) in enumerate(self.images.of(part)):
            data = np.concatenate([c.ravel()[::step] for c in counts])
            use = np.concatenate([g.ravel()[::step] for g in good])
            scale, variance = robust_scale(data, model, use, HUBER, table, 10)
            if variance > 0.0:
                scales[i] = scale
        return scales
