"""Statistics of the pixels of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.images import ImageSequence
from spindle.report import Table

if TYPE_CHECKING:
    from spindle.execution import Executor
    from spindle.models import Experiment, Experiments


def image_format(experiment: Experiment) -> str:
    """Name of the format that reads an experiment's first image."""
    return ImageSequence(experiment).reader(0)[0].format


def _row(is_raw: bool, task: tuple[ImageSequence, int]) -> list[object]:
    """Name, minimum, quartiles and maximum of one image of a sequence."""
    sequence, i = task
    parts = []
    for pixels, correction in zip(sequence.read(i), sequence.corrections, strict=True):
        if not is_raw and correction.is_needed:
            pixels = correction.apply(pixels, np.empty(pixels.shape, np.float32))
        parts.append(pixels.ravel())
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    path, frame = sequence.file_of(i)
    name = Path(path).name + (f"[{frame}]" if frame else "")
    # Plain order statistics: the value below which the fraction of pixels lies, no interpolation between counts.
    n = values.size
    places = [int(q * (n - 1)) for q in (0.25, 0.5, 0.75)]
    ordered = np.partition(values, places)
    return [name, float(values.min()), *(float(ordered[p]) for p in places), float(values.max())]


def image_statistics(experiments: Experiments, is_raw: bool, executor: Executor) -> Table:
    """Minimum, quartiles and maximum of each image.

    Parameters
    ----------
    experiments : Experiments
    is_raw : bool
        Values as stored, of all pixels; otherwise (value - pedestal) / gain, of those with a usable gain.
    executor : Executor
    """
    tasks = []
    for experiment in experiments:
        sequence = ImageSequence(experiment)
        tasks += [(sequence, i) for i in range(sequence.n_images)]

    rows = list(executor.map(partial(_row, is_raw), tasks))
    title = "Raw pixel values" if is_raw else "Corrected pixel values"
    return Table(title, ("Image", "Min", "Q1", "Median", "Q3", "Max"), rows, key="image_statistics")
