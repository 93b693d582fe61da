"""One image: read it, mask it, find its strong pixels. Many images are searched at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from spindle.errors import UserError
from spindle.images import ImageSequence
from spindle.images.correction import Correction
from spindle.images.trusted import trusted_mask
from spindle.models import Experiment
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
        job, z = item
        n_panels = len(job.experiment.detector)
        if z in job.excluded:
            return StrongPixels.none(z, n_panels)
        if not hasattr(self._local, "buffers"):
            self._local.buffers = _Buffers()
        buffers = self._local.buffers
        buffers.images = job.images.read(z - job.z0, buffers.images)
        result = StrongPixels(z, [], [])
        total, count = 0.0, 0
        for p in range(n_panels):
            try:
                index, value, background = self._search_panel(job, p, z, buffers.images[p], buffers)
            except TooManyStrong as error:
                if job.is_one_of_many:
                    return StrongPixels.none(z, n_panels, str(error))
                raise UserError(f"find_spots: {error}; {REMEDY}, or raise the limit") from error
            result.index.append(index)
            result.value.append(value)
            total, count = total + background[0], count + background[1]
        if self.with_background and count:
            result.mean_background = total / count
        return result

    def _search_panel(
        self, job: Job, p: int, z: int, raw: np.ndarray, buffers: _Buffers
    ) -> tuple[np.ndarray, np.ndarray, tuple[float, int]]:
        panel = job.experiment.detector[p]
        width = raw.shape[1]
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
        good, out, list_of_strong = buffers.by_shape[shape]
        low, high = panel.trusted_range
        trusted_mask(raw, job.masks[p], low, high if self.max_value is None else self.max_value, good)
        image = raw
        correction = job.corrections[p]
        if correction.is_needed:
            image = correction.apply(raw, buffers.corrected.setdefault(shape, np.empty(shape, np.float32)))
        noise = 0.0 if job.noise is None else float(job.noise[p])
        strong = self.threshold.find_strong(
            image=image + np.float32(noise) if noise else image,
            mask=good,
            gain=job.gain,
            panel=panel,
            beam=job.experiment.beam,
            corner=corner,
            out=out,
        )
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
            y, x = np.divmod(index, shape[1])
            index = ((y + corner[1]) * width + (x + corner[0])).astype(np.int32)
        return index, value, background
