"""The noise of detectors that do not count photons, measured before the search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .search import Job

__all__ = ["measure_noise"]

IMAGES = 5


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
