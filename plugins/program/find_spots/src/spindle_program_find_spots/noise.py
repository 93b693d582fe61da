"""The noise and the gain of detectors that do not count photons, measured before the search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spindle.execution import RunContext

    from .search import Job

__all__ = ["estimate_gains", "has_noise", "measure_noise"]

IMAGES = 5


def has_noise(jobs: Sequence[Job]) -> bool:
    """Whether the values of any detector may lie below zero, so that its noise is measured."""
    from spindle_lib_noise.read_noise import values_may_be_negative

    detectors = {id(job.experiment.detector): job for job in jobs}
    return any(
        values_may_be_negative(job.images, p) for job in detectors.values() for p in range(len(job.experiment.detector))
    )


def measure_noise(jobs: Sequence[Job], log: logging.Logger) -> None:
    """Set ``noise`` of the jobs of each detector whose values lie below zero, from some of its images, and say so."""
    from spindle_lib_noise.gain import chosen_images
    from spindle_lib_noise.read_noise import noise_offsets, values_may_be_negative

    by_detector: dict[int, list[Job]] = {}
    for job in jobs:
        by_detector.setdefault(id(job.experiment.detector), []).append(job)
    for alike in by_detector.values():
        first = alike[0]
        if not any(values_may_be_negative(first.images, p) for p in range(len(first.experiment.detector))):
            continue
        some = [alike[i] for i in chosen_images(len(alike), IMAGES)]
        each = -(-IMAGES // len(some))
        found = []
        for job in some:
            indices = chosen_images(job.images.n_images, each)
            found.append(noise_offsets(job.images, job.images.masks, indices, job.images.corrections))
        noise = np.median(found, axis=0)
        if not noise.any():
            continue
        for job in alike:
            job.noise = noise
        log.info(
            "Experiment %d has values below zero, which are no photon counts: the variance of pixels without signal exceeds "
            "their mean by %.3g, and strong pixels are told by that",
            first.number,
            float(np.median(noise)),
        )


def estimate_gains(jobs: Sequence[Job], context: RunContext) -> None:
    """Set ``gain`` of the jobs of each detector to its counts per photon, from some of its images, and say so."""
    from spindle_lib_noise.gain import GAIN_IMAGES, chosen_images, estimate_gain

    by_detector: dict[int, list[Job]] = {}
    for job in jobs:
        by_detector.setdefault(id(job.experiment.detector), []).append(job)
    for alike in by_detector.values():
        chosen = [alike[i] for i in chosen_images(len(alike), GAIN_IMAGES)]
        gains = []
        for job in chosen:
            indices = chosen_images(job.images.n_images, -(-GAIN_IMAGES // len(chosen)))
            gains.append(estimate_gain(job.images, indices=indices, corrected=True, executor=context.executor).gain)
        gain = float(np.median(gains))
        for job in alike:
            job.gain = gain
        context.log.info(
            "Gain of experiment %d, from the scatter of neighbouring pixels: %.3f counts per photon%s",
            alike[0].number,
            gain,
            " after the correction for the known gain" if any(c.is_needed for c in alike[0].corrections) else "",
        )
