"""One image: read it, mask it, find its strong pixels. Many images are searched at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, groupby, islice
from typing import Any, NamedTuple

import numpy as np

from spindle.contracts.executor import Executor
from spindle.contracts.threshold import ThresholdImage
from spindle.errors import UserError
from spindle.execution import name_item
from spindle.images import Correction, ImageSequence, read_in_turn, trusted_mask
from spindle.models import Experiment
from spindle_lib_masks.shadows import MovingShadow
from spindle_lib_spots.connected_components import strong_list

__all__ = ["REMEDY", "ImageSearch", "Item", "Job", "StrongPixels"]


REMEDY = (
    "is an image blank or damaged, or does a photon make more than one count (spotfinder.threshold.dispersion.gain=)? "
    "Leave it out with spotfinder.exclude_images="
)


class TooManyStrong(Exception):
    """More pixels of an image are strong than may be."""


@dataclass(slots=True)
class Job:
    """The images of one experiment and what is to be done with them.

    Attributes
    ----------
    number : int
        Position of the experiment; becomes the column ``id``.
    experiment : Experiment
    images : ImageSequence
    masks : list of (slow, fast) bool
        Static mask of each panel, already cut to the region of interest.
    blocks : list of (first, last)
        Array indices z, half open, that are searched; spots never cross a border of them.
    excluded : set of int
        Array indices that are left out.
    z0 : int
        Array index of the first image of the experiment.
    is_linked : bool
        Spots may extend over images.
    group : object
        Jobs of one group share their statistics.
    corrections : list of Correction
        From raw values to counts, of each panel, cut to the region of interest.
    gain : float
        Counts per photon that the corrections leave.
    noise : (n_panels,) float64, counts, or None
        Variance of pixels beyond that of counts, see `spindle_lib_noise.read_noise`; 0 where photons are counted.
    is_one_of_many : bool
        A still among others, which may be left out if it turns out to be bad.
    shadow : MovingShadow or None
        What the goniometer shadows while it turns.
    """

    number: int
    experiment: Experiment
    images: ImageSequence
    masks: list[np.ndarray]
    blocks: list[tuple[int, int]]
    excluded: set[int]
    z0: int
    is_linked: bool
    group: object
    corrections: list[Correction]
    gain: float = 1.0
    noise: np.ndarray | None = None
    is_one_of_many: bool = False
    shadow: MovingShadow | None = None

    @property
    def n_images(self) -> int:
        """Images to search, those left out included."""
        return sum(last - first for first, last in self.blocks)


class Item(NamedTuple):
    """One image of a job, by its array index z."""

    job: Job
    z: int

    def __repr__(self) -> str:
        return f"image {self.z + 1} of experiment {self.job.number}"


@dataclass(slots=True)
class StrongPixels:
    """Strong pixels of one image.

    Attributes
    ----------
    z : int
        Array index of the image.
    index : list of (n,) int32
        Per panel, positions y * width + x, ascending.
    value : list of (n,) float32
        Per panel, their values (pedestal subtracted, divided by gain).
    mean_background : float
        Mean of the good pixels that are not strong, if asked for, else NaN.
    fault : str
        Why the image is left out, if it is.
    """

    z: int
    index: list[np.ndarray]
    value: list[np.ndarray]
    mean_background: float = float("nan")
    fault: str = ""

    @classmethod
    def none(cls, z: int, n_panels: int, fault: str = "") -> StrongPixels:
        """Of an image that is left out."""
        return cls(z, [np.empty(0, np.int32)] * n_panels, [np.empty(0, np.float32)] * n_panels, fault=fault)

    @property
    def n_strong(self) -> int:
        """Number of strong pixels."""
        return sum(len(i) for i in self.index)


@dataclass
class _Buffers:
    """Memory of one thread."""

    images: list[np.ndarray] | None = None
    by_shape: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)
    corrected: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)


class _Result:
    """Strong pixels of an image, panel after panel."""

    def __init__(self, z: int) -> None:
        self.found = StrongPixels(z, [], [])
        self.total, self.count = 0.0, 0

    def add(self, index: np.ndarray, value: np.ndarray, background: tuple[float, int]) -> None:
        """Those of the next panel."""
        self.found.index.append(index)
        self.found.value.append(value)
        self.total, self.count = self.total + background[0], self.count + background[1]

    def strong_pixels(self, with_background: bool) -> StrongPixels:
        """Those of all panels."""
        if with_background and self.count:
            self.found.mean_background = self.total / self.count
        return self.found


class ImageSearch:
    """Finds the strong pixels of images; may be called from several threads at once.

    Parameters
    ----------
    threshold : plugin of the slot ``threshold``
    region : (x0, x1, y0, y1) or None
        Part of each panel that is searched.
    max_fraction : float
        Largest fraction of strong pixels of an image; 1 allows all.
    max_value : float or None
        Highest value to use, in place of that of the panel.
    with_background : bool
        Also compute the mean background.
    """

    def __init__(
        self,
        threshold: Any,
        region: tuple[int, int, int, int] | None,
        max_fraction: float,
        max_value: float | None,
        with_background: bool,
    ) -> None:
        self.threshold = threshold
        self.region = region
        self.max_fraction = max_fraction
        self.max_value = max_value
        self.with_background = with_background
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        """Memory of threads stays where it is."""
        return {name: value for name, value in self.__dict__.items() if name != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    def __call__(self, item: Item) -> StrongPixels:
        """Search image z of a job."""
        return self.search_in_turn([item])[0]

    def search_in_turn(self, items: list[Item]) -> list[StrongPixels]:
        """Search images that are read in turn, see `spindle.images.read_in_turn`."""
        buffers = self._buffers
        wanted = [(job.images, z - job.z0) for job, z in items if z not in job.excluded]
        images = read_in_turn(wanted, buffers.images)
        results = []
        for number, item in enumerate(items):
            job, z = item
            if z in job.excluded:
                results.append(StrongPixels.none(z, len(job.experiment.detector)))
                continue
            try:
                buffers.images = next(images)
                results.append(self._search(job, z, buffers.images, buffers))
            except Exception as error:
                name_item(error, number, item)
                raise
        return results

    def _search(self, job: Job, z: int, raw: list[np.ndarray], buffers: _Buffers) -> StrongPixels:
        """Strong pixels of an image that was read."""
        result = _Result(z)
        dark = None if job.shadow is None else job.shadow.shadowed(z)
        for p, values in enumerate(raw):
            pixels, image = self._prepare(job, p, values, buffers, None if dark is None else dark[p])
            strong = self.threshold.find_strong(**{f.name: getattr(pixels, f.name) for f in fields(pixels)})
            try:
                result.add(*self._list(job, p, z, image, pixels.mask, strong, buffers))
            except TooManyStrong as error:
                return self._refused(job, z, error)
        return result.strong_pixels(self.with_background)

    def search_together(self, items: list[Item]) -> list[StrongPixels]:
        """Search images of one job at once; the threshold is called once for all their panels."""
        job, prepared = items[0].job, []
        for _, z in items:
            # every image has memory of its own
            buffers = _Buffers()
            images = [] if z in job.excluded else job.images.read(z - job.z0)
            dark: list[Any] = [None] * len(images) if job.shadow is None else job.shadow.shadowed(z)
            prepared.append(
                [(*self._prepare(job, p, raw, _Buffers(), dark[p]), buffers) for p, raw in enumerate(images)]
            )
        strong = iter(self.threshold.find_strong_batch([pixels for panels in prepared for pixels, _, _ in panels]))
        results = []
        for (_, z), panels in zip(items, prepared, strict=True):
            result, refused = _Result(z), None
            for p, (pixels, image, buffers) in enumerate(panels):
                try:
                    result.add(*self._list(job, p, z, image, pixels.mask, next(strong), buffers))
                except TooManyStrong as error:
                    refused = refused or self._refused(job, z, error)
            if not panels:
                refused = StrongPixels.none(z, len(job.experiment.detector))
            results.append(refused or result.strong_pixels(self.with_background))
        return results

    @property
    def _buffers(self) -> _Buffers:
        if not hasattr(self._local, "buffers"):
            self._local.buffers = _Buffers()
        return self._local.buffers  # type: ignore[no-any-return]

    @staticmethod
    def _refused(job: Job, z: int, error: TooManyStrong) -> StrongPixels:
        """One of many images is left out, one sweep is not."""
        if job.is_one_of_many:
            return StrongPixels.none(z, len(job.experiment.detector), str(error))
        raise UserError(f"find_spots: {error}; {REMEDY}, or raise the limit") from error

    def _prepare(
        self, job: Job, p: int, raw: np.ndarray, buffers: _Buffers, dark: np.ndarray | None
    ) -> tuple[ThresholdImage, np.ndarray]:
        """What the threshold gets of a panel, and its counts without the noise of reading."""
        panel = job.experiment.detector[p]
        corner = (0, 0)
        if self.region is not None:
            x0, x1, y0, y1 = self.region
            raw, corner = raw[y0:y1, x0:x1], (x0, y0)
        raw = np.ascontiguousarray(raw)
        shape = raw.shape
        if shape not in buffers.by_shape:
            buffers.by_shape[shape] = (
                np.empty(shape, np.bool_),
                np.empty(shape, np.bool_),
                np.empty(raw.size, np.int32),
            )
        good, out, _ = buffers.by_shape[shape]
        low, high = panel.trusted_range
        trusted_mask(raw, job.masks[p], low, high if self.max_value is None else self.max_value, good)
        if dark is not None:
            good &= ~(dark if self.region is None else dark[y0:y1, x0:x1])
        image = raw
        correction = job.corrections[p]
        if correction.is_needed:
            image = correction.apply(raw, buffers.corrected.setdefault(shape, np.empty(shape, np.float32)))
        noise = 0.0 if job.noise is None else float(job.noise[p])
        seen = image + np.float32(noise) if noise else image
        return ThresholdImage(seen, good, job.gain, panel, job.experiment.beam, corner, out), image

    def _list(
        self, job: Job, p: int, z: int, image: np.ndarray, good: np.ndarray, strong: np.ndarray, buffers: _Buffers
    ) -> tuple[np.ndarray, np.ndarray, tuple[float, int]]:
        """Positions and values of the strong pixels of a panel, and sum and number of the others."""
        shape = image.shape
        if shape not in buffers.by_shape:
            buffers.by_shape[shape] = (good, good, np.empty(image.size, np.int32))
        list_of_strong = buffers.by_shape[shape][2]
        flat = np.ascontiguousarray(strong).reshape(-1).view(np.uint8)
        pixels = image.reshape(-1)
        n = strong_list(flat[: flat.size // 8 * 8].view(np.uint64), flat, list_of_strong)
        limit = int(np.ceil(self.max_fraction * flat.size))
        if self.max_fraction < 1 and n > limit:
            path, _ = job.images.file_of(z - job.z0)
            raise TooManyStrong(
                f"{n} of {flat.size} pixels of panel {p} of {path} are strong, more than "
                f"spotfinder.filter.max_strong_pixel_fraction={self.max_fraction:g} allows"
            )
        index = list_of_strong[:n].copy()
        value = pixels[index].astype(np.float32)
        background = (0.0, 0)
        if self.with_background:
            rest = good & ~strong
            background = (float(image.sum(where=rest, dtype=np.float64)), int(np.count_nonzero(rest)))
        if self.region is not None:
            width = job.experiment.detector[p].image_size[0]
            y, x = np.divmod(index, shape[1])
            index = ((y + self.region[2]) * width + (x + self.region[0])).astype(np.int32)
        return index, value, background


class Place(NamedTuple):
    """An item as it travels: number of the experiment and array index z; its job is in the task."""

    number: int
    z: int

    def __repr__(self) -> str:
        return f"image {self.z + 1} of experiment {self.number}"


@dataclass(frozen=True)
class SearchInTurn:
    """Searches images of some jobs, one after the other.

    Attributes
    ----------
    search : ImageSearch
    jobs : dict of int to Job
        By the number of the experiment.
    """

    search: ImageSearch
    jobs: dict[int, Job]

    def __call__(self, places: list[Place]) -> list[StrongPixels]:
        """Strong pixels of the images at these places."""
        return self.search.search_in_turn([Item(self.jobs[number], z) for number, z in places])


@dataclass(frozen=True)
class SearchTogether:
    """Searches several images of one job at once; see `SearchInTurn`."""

    search: ImageSearch
    jobs: dict[int, Job]

    def __call__(self, places: list[Place]) -> list[StrongPixels]:
        """Strong pixels of the images at these places."""
        return self.search.search_together([Item(self.jobs[number], z) for number, z in places])


def search_all(
    search: ImageSearch, jobs: Sequence[Job], items: Iterator[Item], executor: Executor
) -> Iterator[StrongPixels]:
    """Strong pixels of all images, in order; several at once where the threshold wants it. Jobs travel once, items are numbers."""
    threshold, by_number = search.threshold, {job.number: job for job in jobs}
    places = (Place(item.job.number, item.z) for item in items)
    if threshold.implements("find_strong_batch"):
        sweeps = (own for _, own in groupby(places, key=lambda place: place.number))
        batches = chain.from_iterable(_batches(own, threshold.declared("images_at_once")) for own in sweeps)
        results = executor.map(SearchTogether(search, by_number), batches)
    else:
        at_once = jobs[0].images.images_at_once if jobs else 1
        results = executor.map(SearchInTurn(search, by_number), _batches(places, at_once))
    for found in results:
        yield from found


def _batches(places: Iterator[Place], size: int) -> Iterator[list[Place]]:
    """Lists of up to so many."""
    while batch := list(islice(places, size)):
        yield batch
