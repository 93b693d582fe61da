"""A series that is still being written: searched image by image as they come."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import UserError
from spindle.files import experiments_to_dict
from spindle.images import ArrivingImages, ImageSequence, SeriesEnded, of_length
from spindle.models import Experiments
from spindle.params import walk

from .search import Item, StrongPixels, search_all

if TYPE_CHECKING:
    from spindle.execution import RunContext

    from .search import ImageSearch, Job

__all__ = ["Watch"]

#: What was found on images that came, by what it depends on: whoever searches the finished series in this process need not
#: read them again. Only the last few series are kept.
_found: OrderedDict[bytes, dict[int, StrongPixels]] = OrderedDict()
MOST_KEPT = 4


class Watch:
    """Follows the images of a run.

    Parameters
    ----------
    timeout : float, seconds
        See `spindle.images.ArrivingImages`.
    context : RunContext
    """

    def __init__(self, timeout: float, context: RunContext) -> None:
        self.timeout, self.context = timeout, context
        self.ended: dict[int, int] = {}

    def images(self, images: ImageSequence) -> ImageSequence:
        """The images of an experiment, waited for when they are a sequence."""
        if images.experiment.scan is None or images.imageset.kind != "ImageSequence":
            return images
        arriving = ArrivingImages(images.experiment, self.timeout)
        try:
            arriving.read(0)  # masks are made with it
        except SeriesEnded as ended:
            raise UserError(f"find_spots: {ended}, and none before it: there is nothing to watch") from ended
        return arriving

    def wait_for_all(self, jobs: list[Job]) -> None:
        """Return when the last image has come; for what can only be learned from all of them."""
        self.context.log.info("Waiting for the last image, which the masks or the noise are learned from")
        for job in jobs:
            images = job.images
            for i in range(images.n_images):
                self.context.check_cancelled()
                try:
                    images.read(i)
                except SeriesEnded as ended:
                    self._end(job, job.z0 + ended.index, ended)
                    break

    def results(self, search: ImageSearch, jobs: list[Job]) -> Iterator[StrongPixels | None]:
        """Strong pixels of all images, in order, None in place of the first of a block that did not come."""
        for job in jobs:
            images = job.images
            known = _found.setdefault(_state_of(search, job), {})
            while len(_found) > MOST_KEPT:
                _found.popitem(last=False)
            zs = [z for first, last in job.blocks for z in range(first, last)]
            fresh = search_all(search, [job], (Item(job, z) for z in zs if z not in known), self.context.executor)
            try:
                yield from self._of_job(job, known, fresh)
            finally:
                if isinstance(images, ArrivingImages):
                    images.stopped.set()
                with suppress(AttributeError):
                    fresh.close()  # type: ignore[attr-defined]

    def _of_job(
        self, job: Job, known: dict[int, StrongPixels], fresh: Iterator[StrongPixels]
    ) -> Iterator[StrongPixels | None]:
        blocks = list(job.blocks)
        for k, (first, last) in enumerate(blocks):
            for z in range(first, last):
                if z not in known:
                    try:
                        known[z] = next(fresh)
                    except SeriesEnded as ended:
                        self._end(job, job.z0 + ended.index, ended)
                        yield from [None] * (len(blocks) - k)
                        return
                yield known[z]

    def _end(self, job: Job, z: int, why: SeriesEnded) -> None:
        """Take the images from z on out of a job."""
        self.context.log.info("The series ends with image %d: none came for %g s", z, why.timeout)
        self.ended[job.number] = z - job.z0
        job.blocks = [(first, min(last, z)) for first, last in job.blocks if first < z]
        assert job.experiment.scan is not None
        job.experiment = replace(job.experiment, scan=of_length(job.experiment.scan, z - job.z0))
        job.images = ImageSequence(job.experiment)

    def seen(self, experiments: Experiments) -> Experiments:
        """The experiments with the images that have come."""
        for number, n_images in self.ended.items():
            scan = experiments[number].scan
            if scan is not None and scan.n_images > n_images:
                experiments = experiments.with_model(scan, of_length(scan, n_images))
        return experiments


def _state_of(search: ImageSearch, job: Job) -> bytes:
    """Digest of everything that decides what is found on an image of a job."""
    content = experiments_to_dict(Experiments([job.experiment]))
    models = {name: content[name] for name in ("beam", "detector")}
    params = {e.path: e.leaf.plain(e.value) for e in walk(search.threshold.params)}
    settings = (
        search.threshold.name, params, search.region, search.max_fraction, search.max_value, search.with_background,
        job.gain, None if job.noise is None else job.noise.tolist(), sorted(job.excluded), job.is_one_of_many, job.z0,
        job.images.imageset.template, job.images.imageset.params,
    )  # fmt: skip
    digest = hashlib.sha256(json.dumps([models, settings], sort_keys=True, default=str).encode())
    for mask, correction in zip(job.masks, job.corrections, strict=True):
        for values in (mask, correction.pedestal, correction.gain):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.digest()
