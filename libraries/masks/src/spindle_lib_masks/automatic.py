"""Shadows, dead pixels and hot pixels, found by comparing pixels with others at the same scattering angle.

Background depends on the scattering angle and little else, so a pixel that is far below the others of its ring over the
whole scan lies in a shadow (or is dead), and one that is far above them, image after image, is hot. Some dozens of
images spread over the scan tell this with certainty; values are capped, so that spots that pass by count little, and
where many do, the pixel is at rest in between and pixels beside it are bright, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from spindle.images import Correction, ImageSequence, trusted_mask
from spindle_lib_noise.read_noise import noise_offsets

from .pixel_sums import add_counts, add_image, find_dark, judge
from .ring_kernels import ring_medians, sample_pixels
from .rings import RING_WIDTH, ring_numbers

__all__ = ["AutomaticMask", "PixelSums", "automatic_mask", "judge_pixels", "ring_numbers"]

# A pixel below this fraction of its ring is in shadow or dead, one above the inverse is hot. Polarisation and absorption
# make a factor of two to three at the very largest angles.
_LOW_FRACTION = 0.3
# What must not happen by chance among 1e7 pixels: 6 standard deviations.
_SIGMA = 6.0
# Pixels from which the levels of rings are taken; beyond the inner rings, where all count, every n-th pixel serves.
_SAMPLE = 1_000_000
_INNER_RINGS = 100
# The images are looked at in so many tasks, however many workers there are: each holds sums of the size of an image.
_TASKS = 4
_MOST_IMAGES = 255  # that are counted in a byte


class _Maps(Protocol):
    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]: ...


@dataclass(slots=True)
class PixelSums:
    """What the pixels of one panel have seen.

    Attributes
    ----------
    total : (slow, fast) float64 or int32, counts
        Sum of the values, each capped a few standard deviations above the median of the ring.
    count : (slow, fast) uint8
        Images in which the pixel was good.
    high : (slow, fast) uint8
        Images in which it reached the cap.
    calm : (slow, fast) uint8
        Images in which it did not exceed the median of the ring.
    """

    total: np.ndarray
    count: np.ndarray
    high: np.ndarray
    calm: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, int], whole: bool = False) -> PixelSums:
        """No images yet; ``whole`` for counts whose sum an int32 holds."""
        return cls(np.zeros(shape, np.int32 if whole else np.float64), *(np.zeros(shape, np.uint8) for _ in range(3)))

    def add(self, other: PixelSums) -> None:
        """Add the sums of other images."""
        self.total += other.total
        self.count += other.count
        self.high += other.high
        self.calm += other.calm


@dataclass(slots=True)
class AutomaticMask:
    """What was found.

    Attributes
    ----------
    masks : list of (slow, fast) bool
        One per panel, True is good. Pixels that were bad before are not judged and good here.
    n_shadowed, n_dead, n_hot : int
        Pixels of all panels that were found bad.
    n_images : int
        Images that were looked at; 0 when there are too few to judge.
    """

    masks: list[np.ndarray]
    n_shadowed: int
    n_dead: int
    n_hot: int
    n_images: int


def _levels(
    rings: Sequence[np.ndarray], good: Sequence[np.ndarray], values: Sequence[np.ndarray], n_rings: int
) -> np.ndarray:
    """(n_rings,) float64: median of the good values in each ring, from a sample of the pixels; 0 in empty rings."""
    numbers = [int(np.count_nonzero(g)) for g in good]
    total = sum(numbers)
    every = total // _SAMPLE + 1 if total > _SAMPLE else 1
    seen = 0
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for ring, usable, value, n in zip(rings, good, values, numbers, strict=True):
        inner = n if every == 1 else int(np.count_nonzero(usable & (ring < _INNER_RINGS))) + n // every + 1
        some = np.empty(inner, np.int32), np.empty(inner, np.float64)
        taken = sample_pixels(ring, usable, value, seen, _INNER_RINGS, every, *some)
        parts.append((some[0][:taken], some[1][:taken]))
        seen += n
    out = np.zeros(n_rings)
    ring_medians(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), n_rings, out)
    return out


def judge_pixels(
    rings: Sequence[np.ndarray],
    sums: Sequence[PixelSums],
    n_images: int,
    levels: np.ndarray,
    find_hot: bool = True,
) -> AutomaticMask:
    """Tell shadowed, dead and hot pixels from good ones.

    Parameters
    ----------
    rings : sequence of (slow, fast) int32
        Per panel, see `ring_numbers`.
    sums : sequence of PixelSums
        Per panel.
    n_images : int
        Images in the sums.
    levels : (n_rings,) float64, counts
        What pixels at rest did not exceed.
    find_hot : bool
        False when the crystal hardly turned: a spot may then stay on its pixels throughout.

    Returns
    -------
    AutomaticMask
    """
    n_rings = max(int(r.max()) for r in rings) + 1
    least = 0.5 * n_images
    known = [s.count >= least for s in sums]
    means = [np.divide(s.total, s.count, out=np.zeros(s.total.shape), where=s.count > 0) for s in sums]
    profile = _fill_shadowed_centre(_levels(rings, known, means, n_rings))
    del means, known
    result = AutomaticMask([], 0, 0, 0, n_images)
    for ring, one in zip(rings, sums, strict=True):
        dark, good = np.empty(ring.shape, np.bool_), np.empty(ring.shape, np.bool_)
        known_by = (ring, one.total, one.count)
        find_dark(*known_by, least, profile, _LOW_FRACTION, _SIGMA, dark)
        found = judge(
            *known_by, one.high, one.calm, least, profile, levels, _LOW_FRACTION, _SIGMA, dark, find_hot, good
        )
        result.masks.append(good)
        result.n_shadowed += found[0]
        result.n_dead += found[1]
        result.n_hot += found[2]
    return result


def _fill_shadowed_centre(profile: np.ndarray) -> np.ndarray:
    """Radial profile in which rings that lie wholly in the beamstop's shadow have the level of the first ring outside.

    The shadow's edge is the outermost place within the inner quarter where the level falls, within eight pixels, to less
    than ``_LOW_FRACTION`` on the way inwards; no scattering from a sample does that.
    """
    step = int(8 / RING_WIDTH)
    filled = profile.copy()
    for r in range(len(profile) // 4, step, -1):
        outside, inside = profile[r], profile[r - step]
        if outside > 0 and inside < _LOW_FRACTION * outside:
            filled[:r] = np.maximum(filled[:r], outside)
            break
    return filled


def automatic_mask(
    images: ImageSequence, masks: Sequence[np.ndarray], executor: _Maps, max_images: int = 60, min_images: int = 10
) -> AutomaticMask:
    """Look at images spread over a scan and find the pixels that should not be used.

    Parameters
    ----------
    images : ImageSequence
    masks : sequence of (slow, fast) bool
        Pixels known to be good so far, per panel.
    executor : object with ``map``
        The run's executor.
    max_images : int
        Images to look at, at most.
    min_images : int
        With fewer images nothing is judged.

    Returns
    -------
    AutomaticMask
    """
    experiment = images.experiment
    if images.n_images < min_images:
        everything = [
            np.broadcast_to(np.True_, np.shape(m)) for m in masks
        ]  # without memory, for thousands of such sets
        return AutomaticMask(everything, 0, 0, 0, 0)
    number = min(max_images, images.n_images, _MOST_IMAGES)
    chosen = np.unique(np.linspace(0, images.n_images - 1, number).round().astype(int))
    rings = ring_numbers(experiment)
    some = chosen[:: max(len(chosen) // 3, 1)]
    counts = _Counts(images, masks, some)
    n_rings = max(int(r.max()) for r in rings) + 1
    medians = list(executor.map(_Levels(images, list(masks), rings, counts, n_rings), some))
    # The median of few counts is a whole number, often 0: allow for the one above.
    # Whole numbers, so that sums are exact and do not depend on the order in which tasks add.
    level = np.max(medians, axis=0)
    caps = np.ceil(level + 1.0 + _SIGMA * np.sqrt(level + 1.0))
    level = np.floor(level)
    look = _Look(images, list(masks), rings, caps, level, counts)
    sums: list[PixelSums] = []
    for found in executor.map(look, np.array_split(chosen, min(_TASKS, len(chosen)))):
        if not sums:
            sums = found
            continue
        for mine, theirs in zip(sums, found, strict=True):
            mine.add(theirs)
    scan = experiment.scan
    turned = 0.0 if scan is None else scan.n_images * scan.oscillation_deg[1]
    return judge_pixels(rings, sums, len(chosen), level, find_hot=turned >= 5.0)


class _Counts:
    """Values whose variance is their mean: photons, with the noise of an integrating camera added to them."""

    def __init__(self, images: ImageSequence, masks: Sequence[np.ndarray], indices: np.ndarray) -> None:
        self.corrections: list[Correction] = images.corrections
        self.offsets = noise_offsets(images, masks, [int(i) for i in indices], self.corrections)

    def are(self, panel: int, dtype: np.dtype[Any]) -> bool:
        """Whether raw values of this type are whole counts already."""
        return dtype == np.int32 and not self.corrections[panel].is_needed and bool(self.offsets[panel] == 0.0)

    def of(self, panel: int, raw: np.ndarray, out: np.ndarray) -> np.ndarray:
        """(slow, fast) float32: the counts of raw values, in ``out``."""
        values = self.corrections[panel].apply(raw, out)
        values += np.float32(self.offsets[panel])
        return values


@dataclass(frozen=True)
class _Levels:
    """Median of each ring on an image."""

    images: ImageSequence
    masks: list[np.ndarray]
    rings: list[np.ndarray]
    counts: _Counts
    n_rings: int

    def __call__(self, index: int) -> np.ndarray:
        good, values = [], []
        for p, raw in enumerate(self.images.read(int(index))):
            image = np.ascontiguousarray(raw)
            low, high = self.images.experiment.detector[p].trusted_range
            good.append(trusted_mask(image, self.masks[p], low, high, np.empty(image.shape, np.bool_)))
            whole = self.counts.are(p, image.dtype)
            values.append(image if whole else self.counts.of(p, image, np.empty(image.shape, np.float32)))
        return _levels(self.rings, good, values, self.n_rings)


@dataclass(frozen=True)
class _Look:
    """Sums over some images, per panel; whole numbers, so that they do not depend on how the images are divided."""

    images: ImageSequence
    masks: list[np.ndarray]
    rings: list[np.ndarray]
    caps: np.ndarray
    levels: np.ndarray
    counts: _Counts

    def __call__(self, indices: np.ndarray) -> list[PixelSums]:
        """Look at the images of these indices."""
        sums: list[PixelSums | None] = [None] * len(self.masks)
        fits = float(self.caps.max()) * _MOST_IMAGES < np.iinfo(np.int32).max
        whole_limits = (self.caps.astype(np.int32), self.levels.astype(np.int32)) if fits else None
        memory: list[list[np.ndarray] | None] = [None, None]
        for begin in range(0, len(indices), 2):
            pair = [int(index) for index in indices[begin : begin + 2]]
            for k, index in enumerate(pair):
                memory[k] = self.images.read(index, memory[k])
            for p in range(len(self.masks)):
                found = [np.ascontiguousarray(panels[p]) for panels in memory[: len(pair)] if panels is not None]
                low, high = self.images.experiment.detector[p].trusted_range
                whole = whole_limits is not None and all(self.counts.are(p, image.dtype) for image in found)
                one = sums[p] = sums[p] or PixelSums.empty(found[0].shape, whole)
                if whole:
                    info = np.iinfo(np.int32)
                    ends = (
                        np.int32(np.clip(np.ceil(low), info.min, info.max)),
                        np.int32(np.clip(np.floor(high), info.min, info.max)),
                    )
                    second = found[1] if len(found) > 1 else found[0][:0]
                    add_counts(
                        found[0], second, self.masks[p], *ends, self.rings[p], *(whole_limits or ()), one.total, one.count,
                        one.high, one.calm,
                    )  # fmt: skip
                    continue
                for image in found:
                    good = trusted_mask(image, self.masks[p], low, high, np.empty(image.shape, np.bool_))
                    values = self.counts.of(p, image, np.empty(image.shape, np.float32))
                    add_image(
                        values, good, self.rings[p], self.caps, self.levels, one.total, one.count, one.high, one.calm
                    )
        return [one or PixelSums.empty(m.shape) for one, m in zip(sums, self.masks, strict=True)]
