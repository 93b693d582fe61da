"""What a background model learns from whole images, before a shoebox is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.execution import Common, RunContext
from spindle.images import Correction, ImageSequence, trusted_mask
from spindle.report import DETAIL, Table
from spindle.table import ReflectionTable
from spindle_lib_masks.free_pixels import GEOMETRY, FreePixels

from .packed_masks import PackedMasks

__all__ = ["TAILS", "learn_background"]

# The cut into tasks depends on the number of images alone, so that results do not depend on the number of workers.
IMAGES_PER_TASK = 25
MOST_TASKS = 16
TAILS = 2.0  # standard deviations of the profile beyond the foreground that are left out, too


@dataclass(frozen=True)
class _Images:
    """Array indices of images, and the predictions on them."""

    numbers: np.ndarray
    predicted: ReflectionTable

    def __repr__(self) -> str:
        return f"the background of {len(self.numbers)} images from {self.numbers[0] + 1} on"


@dataclass(frozen=True)
class _Look:
    """Shows images to a learner."""

    background: Any
    profile: Any
    experiments: Common
    sequence: ImageSequence
    first: int
    masks: PackedMasks
    corrections: list[Correction]

    def __call__(self, images: _Images) -> Any:
        learner = self.background.make_background_learner(experiment=self.sequence.experiment)
        masks = self.masks.unpacked()
        free = FreePixels(self.profile, self.experiments.value, images.predicted, masks)
        counts = [np.empty(m.shape, np.float32) for m in masks]
        trusted = [np.empty(m.shape, np.bool_) for m in masks]
        panels: list[np.ndarray] | None = None
        for z in images.numbers:
            panels = self.sequence.read(int(z) - self.first, panels)
            beside = free.on_image(int(z))
            for k, panel in enumerate(self.sequence.experiment.detector):
                trusted_mask(panels[k], beside[k], *panel.trusted_range, out=trusted[k])
                self.corrections[k].apply(panels[k], counts[k])
            learner.add_image(int(z), counts, trusted)
        return learner


def learn_background(
    context: RunContext,
    background: Any,
    profile: Any,
    experiments: Common,
    sequence: ImageSequence,
    first: int,
    masks: PackedMasks,
    corrections: list[Correction],
    excluded: frozenset[int],
    table: ReflectionTable,
    rows: np.ndarray,
) -> tuple[Any, list[Table]]:
    """Let the background model look at the images, if it wants to.

    Parameters
    ----------
    context : RunContext
    background, profile : Handle
    experiments : Common of Experiments
        All of the run, with foregrounds that reach `TAILS` further.
    sequence : ImageSequence
    first : int
        Array index of its first image.
    masks : PackedMasks
    corrections : list of Correction
        Of the panels.
    excluded : frozenset of int
        Array indices that are left out.
    table : ReflectionTable
        All predictions.
    rows : (m,) int64
        Those on these images.

    Returns
    -------
    learned : object
        For `estimate_background`; None when the model learns nothing.
    tables : list of Table
        About it, for the log.
    """
    learner = background.make_background_learner(experiment=sequence.experiment)
    usable = np.array([z for z in range(first, first + sequence.n_images) if z not in excluded], np.int64)
    if learner is None or not len(usable):
        return None, []
    n = min(learner.most_images, len(usable))
    if n == 0:
        return learner.finish(), learner.tables()
    numbers = usable[((np.arange(n) + 0.5) * len(usable) / n).astype(np.int64)]
    n_tasks = int(np.clip(n // IMAGES_PER_TASK, 1, MOST_TASKS))
    geometry = ReflectionTable({name: table[name] for name in GEOMETRY})
    z, depth = table["xyzcal.px"][rows, 2], table["bbox"][rows, 5] - table["bbox"][rows, 4]
    reach = 2.0 * depth + 2.0
    items = []
    for part in np.array_split(numbers, n_tasks):
        near = (z + reach >= part[0]) & (z - reach <= part[-1])
        items.append(_Images(part, geometry.select(rows[near])))
    look = _Look(
        background, profile, experiments, sequence, first, masks, corrections
    )  # fmt: skip
    context.log.info("Learning the background from %d images", n, extra=DETAIL)
    done = 0
    with context.progress("background", n) as progress:
        for item, part in zip(items, context.executor.map(look, items), strict=True):
            learner.join(part)
            done += len(item.numbers)
            progress.advance(len(item.numbers))
    return learner.finish(), learner.tables()
