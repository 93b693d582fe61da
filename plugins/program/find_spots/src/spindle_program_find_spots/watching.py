"""A series that is still being written: searched image by image as they come."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
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

# What was found on an image, and the file that it was found in.
_Kept = tuple[tuple[int, ...], StrongPixels]
#: What was found on images that came, by what it depends on: whoever searches the finished series in this process need not
#: read them again. Only the last few series are kept.
_found: OrderedDict[bytes, dict[int, _Kept]] = OrderedDict()
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
            kept = _found.setdefault(_state_of(search, job), {})
            while len(_found) > MOST_KEPT:
                _found.popitem(last=False)
            for z in [z for z, (stamp, _) in kept.items() if stamp != _stamp(images, z - job.z0)]:
                del kept[z]
            zs = [z for first, last in job.blocks for z in range(first, last)]
            fresh = search_all(search, [job], (Item(job, z) for z in zs if z not in kept), self.context.executor)
            try:
                yield from self._of_job(job, images, kept, fresh)
            finally:
                if isinstance(images, ArrivingImages):
                    images.stopped.set()
                if isinstance(fresh, Generator):
                    fresh.close()

    def _of_job(
        self, job: Job, images: ImageSequence, kept: dict[int, _Kept], fresh: Iterator[StrongPixels]
    ) -> Iterator[StrongPixels | None]:
        blocks = list(job.blocks)
        for k, (first, last) in enumerate(blocks):
            for z in range(first, last):
                if z not in kept:
                    try:
                        found = next(fresh)
                    except SeriesEnded as ended:
                        self._end(job, job.z0 + ended.index, ended)
                        yield from [None] * (len(blocks) - k)
                        return
                    kept[z] = _stamp(images, z - job.z0), found
                yield kept[z][1]

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


def _stamp(images: ImageSequence, index: int) -> tuple[int, ...]:
    """What tells the file of an image from another one of its name; of a file with many images only that it is the same one."""
    path, _ = images.file_of(index)
    try:
        state = Path(path).stat()
    except OSError:
        return ()
    here = (state.st_dev, state.st_ino)
    return (
        here
        if images.n_images > 1 and images.file_of(0)[0] == images.file_of(1)[0]
        else (*here, state.st_size, state.st_mtime_ns)
    )


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
