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
FIRST_IMAGES = 16  # after which a learner says how many it needs
TAILS = 2.0  # standard deviations of the profile beyond the foreground that are left out, too


@dataclass(frozen=True)
class _Images:
    """Array indices of images, and the predictions on them."""

    numbers: np.ndarray
    predicted: ReflectionTable
    of: int  # images that are looked at in all

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
        learner.most_images = images.of
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
    most = min(learner.most_images, len(usable))
    if most == 0:
        return learner.finish(), learner.tables()
    geometry = ReflectionTable({name: table[name][rows] for name in GEOMETRY})
    reach = 2.0 * (table["bbox"][rows, 5] - table["bbox"][rows, 4]) + 2.0
    look = _Look(background, profile, experiments, sequence, first, masks, corrections)
    n = min(most, FIRST_IMAGES)
    learned = _after(context, look, usable, n, geometry, reach)
    if n < most:
        enough = min(learned.enough_images(n), most)
        if enough > n:
            del learned
            learned = _after(context, look, usable, enough, geometry, reach)
    return learned.finish(), learned.tables()


def _after(
    context: RunContext, look: _Look, usable: np.ndarray, n: int, predicted: ReflectionTable, reach: np.ndarray
) -> Any:
    """A learner that has seen ``n`` of the usable images (m,), evenly spread.

    ``predicted`` (k rows) is seen on images up to ``reach`` (k,) from the middles of the spots.
    """
    numbers = usable[((np.arange(n) + 0.5) * len(usable) / n).astype(np.int64)]
    n_tasks = int(np.clip(n // IMAGES_PER_TASK, min(2, n), MOST_TASKS))
    z = predicted["xyzcal.px"][:, 2]
    items = []
    for part in np.array_split(numbers, n_tasks):
        next_one = np.searchsorted(part, z - reach)
        near = part[np.minimum(next_one, len(part) - 1)] <= z + reach
        items.append(_Images(part, predicted.select(np.flatnonzero(near & (next_one < len(part)))), n))
    context.log.info("Learning the background from %d images", n, extra=DETAIL)
    learner = look.background.make_background_learner(experiment=look.sequence.experiment)
    learner.most_images = n
    done = 0
    with context.progress("background", n) as progress:
        for item, part in zip(items, context.executor.map(look, items), strict=True):
            learner.join(part)
            done += len(item.numbers)
            progress.advance(len(item.numbers))
    return learner
