"""What is to be searched: one job per experiment, with its masks and ranges of images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.files import read_mask
from spindle.images import Correction, ImageSequence
from spindle.models import Experiments
from spindle_lib_image_ranges import excluded_images
from spindle_lib_masks.rules import generate_masks
from spindle_lib_masks.shadows import shadow_of

from .search import Job

__all__ = ["cut", "make_jobs"]


def make_jobs(
    experiments: Experiments, params: Any, seen_as: Callable[[ImageSequence], ImageSequence] = lambda images: images
) -> list[Job]:
    """Jobs of all experiments that have images of their own; crystals that share images are searched once.

    Parameters
    ----------
    experiments : Experiments
    params : Params
        Those of the program.
    seen_as : callable
        Gives the images of a job in place of those that the experiment has.

    Raises
    ------
    UserError
        If ranges, regions or masks do not fit the images.
    """
    spotfinder = params.spotfinder
    masks = _Masks(spotfinder)
    jobs: list[Job] = []
    seen: set[tuple[int, Any]] = set()
    excluded = _excluded_images(spotfinder, experiments)
    for number, experiment in enumerate(experiments):
        z0 = experiment.scan.array_range[0] if experiment.scan is not None else 0
        key = (id(experiment.imageset), (z0, experiment.scan.n_images) if experiment.scan is not None else number)
        if experiment.imageset is not None and key in seen:
            continue
        seen.add(key)
        images = seen_as(ImageSequence(experiment))
        blocks = _blocks(spotfinder.scan_range, z0, images.n_images, number)
        is_sequence = images.imageset.kind == "ImageSequence"
        jobs.append(
            Job(
                number=number,
                experiment=experiment,
                images=images,
                masks=masks.of(images),
                shadow=shadow_of(experiment),
                blocks=blocks,
                excluded=excluded(number, z0, images.n_images),
                z0=z0,
                is_linked=not (experiment.is_still or spotfinder.force_2d),
                group=id(images.imageset) if is_sequence else "stills",
                corrections=[_cut_correction(c, spotfinder.region_of_interest) for c in images.corrections],
            )
        )
    _check_ranges(spotfinder.scan_range, jobs)
    several = sum(job.n_images for job in jobs) > 1
    for job in jobs:
        job.is_one_of_many = several and job.experiment.is_still
    return jobs


def _check_ranges(ranges: Any, jobs: list[Job]) -> None:
    """Raise when images were asked for that no experiment has."""
    there = {(job.z0, job.z0 + job.images.n_images) for job in jobs}
    for first, last in ranges or ():
        # Between the images that there are, scans may leave gaps; the ends must be images.
        missing = [n for n in (first, last) if not any(low < n <= high for low, high in there)]
        if missing:
            have = ", ".join(f"{low + 1} to {high}" for low, high in sorted(there)[:10])
            raise ParameterError(
                f"spotfinder.scan_range={first},{last}: there is no image {' and no image '.join(map(str, missing))}; the "
                f"experiments have images {have}{', ...' if len(there) > 10 else ''}"
            )


def _blocks(ranges: Any, z0: int, n_images: int, number: int) -> list[tuple[int, int]]:
    """Half-open ranges of array indices to search in an experiment."""
    if not ranges:
        return [(z0, z0 + n_images)]
    blocks = []
    for first, last in ranges:
        if last < first:
            raise ParameterError(f"spotfinder.scan_range={first},{last}: the first image comes after the last")
        low, high = max(first - 1, z0), min(last, z0 + n_images)
        if low < high:
            blocks.append((low, high))
    blocks.sort()
    for (_, end), (start, _) in pairwise(blocks):
        if start < end:
            raise ParameterError(
                f"spotfinder.scan_range: the ranges overlap in experiment {number} at image {start + 1}"
            )
    return blocks


def _excluded_images(spotfinder: Any, experiments: Experiments) -> Any:
    """Function (experiment, z0, n_images) -> set of array indices to leave out."""
    rules = excluded_images(spotfinder.exclude_images, experiments, "spotfinder.exclude_images")
    every = spotfinder.exclude_images_multiple

    def excluded(number: int, z0: int, n_images: int) -> set[int]:
        chosen = {z for i, a, b in rules if i == number for z in range(max(a - 1, z0), min(b, z0 + n_images))}
        if every:
            chosen |= {z for z in range(z0, z0 + n_images) if (z + 1) % every == 0}
        return chosen

    return excluded


class _Masks:
    """Static masks, made once for experiments that share detector, beam and images."""

    def __init__(self, spotfinder: Any) -> None:
        self.spotfinder = spotfinder
        self._known: dict[tuple[Any, ...], list[np.ndarray]] = {}
        self._keep: list[Any] = []
        self._user: dict[int, list[np.ndarray]] = {}

    def of(self, images: ImageSequence) -> list[np.ndarray]:
        """Masks of all panels, True is good, cut to the region of interest."""
        experiment = images.experiment
        detector, beam = experiment.detector, experiment.beam
        by_set = (
            id(experiment.imageset)
            if images.imageset.kind == "ImageSequence"
            else (images.imageset.mask, images.imageset.gain, images.imageset.pedestal, images.imageset.format)
        )
        key = (id(detector), id(beam), by_set)
        if key in self._known:
            return self._known[key]
        masks = images.masks
        lookup = self.spotfinder.lookup.mask
        if lookup:
            if id(detector) not in self._user:
                self._user[id(detector)] = read_mask(lookup, detector)
            masks = [a & b for a, b in zip(masks, self._user[id(detector)], strict=True)]
        asked = generate_masks(self.spotfinder.filter, detector, beam, "spotfinder.filter.")
        if asked is not None:
            masks = [a & b for a, b in zip(masks, asked, strict=True)]
        region = self.spotfinder.region_of_interest
        if region is not None:
            masks = [cut(m, region, p) for p, m in enumerate(masks)]
        masks = [np.ascontiguousarray(m) for m in masks]
        self._known[key] = masks
        self._keep.append((detector, beam, images.imageset))
        return masks


def _cut_correction(correction: Correction, region: tuple[int, int, int, int] | None) -> Correction:
    return correction if region is None else correction.cut(*region)


def cut(mask: np.ndarray, region: tuple[int, int, int, int], panel: int) -> np.ndarray:
    """The part of a panel's mask that lies in the region of interest."""
    x0, x1, y0, y1 = region
    height, width = mask.shape
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ParameterError(
            f"spotfinder.region_of_interest={x0},{x1},{y0},{y1}: not inside panel {panel} of {width} x {height} "
            "pixels; the order is "
            "x0,x1,y0,y1, half open"
        )
    return mask[y0:y1, x0:x1]
