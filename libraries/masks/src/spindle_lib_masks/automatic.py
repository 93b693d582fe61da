"""Shadows, dead pixels and hot pixels, found by comparing pixels with others at the same scattering angle.

Background depends on the scattering angle and little else, so a pixel that is far below the others of its ring over the
whole scan lies in a shadow (or is dead), and one that is far above them, image after image, is hot. Some dozens of
images spread over the scan tell this with certainty; values are capped, so that spots that pass by do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from spindle.images import ImageSequence, trusted_mask
from spindle.models import Experiment
from spindle_lib_noise.read_noise import noise_offsets

from .pixel_sums import add_image
from .rules import resolution_map

__all__ = ["AutomaticMask", "PixelSums", "automatic_mask", "judge_pixels", "ring_numbers"]

# Width of a ring in pixels.
_RING_WIDTH = 2.0
# A pixel below this fraction of its ring is in shadow or dead, one above the inverse is hot. Polarisation and absorption
# make a factor of two to three at the very largest angles.
_LOW_FRACTION = 0.3
# What must not happen by chance among 1e7 pixels: 6 standard deviations.
_SIGMA = 6.0
# Pixels from which the levels of rings are taken; beyond the inner rings, where all count, every n-th pixel serves.
_SAMPLE = 1_000_000
_INNER_RINGS = 100
# Shadows are looked for in squares of this size, as single pixels may have seen too few photons.
_SHADOW_BOX = 5
# More rings than pixels of any detector; sums per ring are kept in memory.
_MAX_RINGS = 2**20


class _Maps(Protocol):
    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]: ...


@dataclass(slots=True)
class PixelSums:
    """What the pixels of one panel have seen.

    Attributes
    ----------
    total : (slow, fast) float64, counts
        Sum of the values, each capped a few standard deviations above the median of the ring.
    count : (slow, fast) int32
        Images in which the pixel was good.
    high : (slow, fast) int32
        Images in which it reached the cap.
    """

    total: np.ndarray
    count: np.ndarray
    high: np.ndarray

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> PixelSums:
        """No images yet."""
        return cls(np.zeros(shape), np.zeros(shape, np.int32), np.zeros(shape, np.int32))

    def add(self, other: PixelSums) -> None:
        """Add the sums of other images."""
        self.total += other.total
        self.count += other.count
        self.high += other.high


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


def ring_numbers(experiment: Experiment) -> list[np.ndarray]:
    """Number of the ring of equal scattering angle that each pixel lies in, counted from the beam.

    Returns
    -------
    list of (slow, fast) int32
        One per panel. A ring is two pixels wide where the detector is met at a right angle.
    """
    detector, beam = experiment.detector, experiment.beam
    pixel = float(detector[0].pixel_size.min())
    # Distance from the sample to the nearest point of the beam centre's panel sets the scale of all panels.
    scale = max(min(p.distance for p in detector), pixel) / pixel / _RING_WIDTH
    rings = []
    for k in range(len(detector)):
        half_angle = np.arcsin(np.clip(beam.wavelength / (2.0 * resolution_map(detector, k, beam)), 0.0, 1.0))
        # 2 tan(theta) grows evenly with the angle also beyond 90 degrees, where tan(2 theta) does not.
        ring = 2.0 * np.tan(np.minimum(half_angle, 1.5)) * scale
        # A pixel at the sample has no angle, and far away there are more rings than numbers.
        rings.append(np.clip(np.nan_to_num(ring), 0, _MAX_RINGS).astype(np.int32))
    return rings


def _ring_medians(rings: np.ndarray, values: np.ndarray, n_rings: int) -> np.ndarray:
    """Median of the values in each ring; 0 in empty rings.

    Parameters
    ----------
    rings : (n,) int32
    values : (n,) float64
    n_rings : int
    """
    if len(rings) > _SAMPLE:
        taken = rings < _INNER_RINGS
        taken[:: len(rings) // _SAMPLE + 1] = True
        rings, values = rings[taken], values[taken]
    order = np.lexsort((values, rings))
    ends = np.searchsorted(rings[order], np.arange(n_rings + 1))
    size = np.diff(ends)
    middle = np.where(size > 0, (ends[:-1] + ends[1:] - 1) // 2, 0)
    sorted_values = values[order]
    return np.where(size > 0, sorted_values[np.minimum(middle, max(len(order) - 1, 0))] if len(order) else 0.0, 0.0)


def judge_pixels(
    rings: Sequence[np.ndarray], sums: Sequence[PixelSums], n_images: int, find_hot: bool = True
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
    find_hot : bool
        False when the crystal hardly turned: a spot may then stay on its pixels throughout.

    Returns
    -------
    AutomaticMask
    """
    from scipy.ndimage import binary_dilation, uniform_filter

    n_rings = max(int(r.max()) for r in rings) + 1
    seen = [s.count * 2 >= n_images for s in sums]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = [np.where(s.count > 0, s.total / s.count, 0.0) for s in sums]
    profile = _ring_medians(
        np.concatenate([r[k] for r, k in zip(rings, seen, strict=True)]),
        np.concatenate([m[k] for m, k in zip(means, seen, strict=True)]),
        n_rings,
    )
    profile = _fill_shadowed_centre(profile)
    result = AutomaticMask([], 0, 0, 0, n_images)
    for ring, one, known in zip(rings, sums, seen, strict=True):
        # sums of images that are no counts (a pedestal that was not taken off) may lie below zero: nothing to compare with
        expected = np.maximum(profile[ring] * one.count, 0.0)
        lit = np.where(known, one.total, 0.0)
        should = np.where(known, expected, 0.0)
        box = _SHADOW_BOX**2
        have, want = (np.maximum(uniform_filter(v, _SHADOW_BOX, mode="constant") * box, 0.0) for v in (lit, should))
        shadowed = (have < _LOW_FRACTION * want) & (have < want - _SIGMA * np.sqrt(want))
        # The middle of a square in shadow is up to half its size away from the edge of the shadow.
        shadowed = binary_dilation(shadowed & known, iterations=_SHADOW_BOX // 2) & known
        dead = known & (one.total < _LOW_FRACTION * expected) & (one.total < expected - _SIGMA * np.sqrt(expected))
        hot = np.zeros_like(known)
        if find_hot:
            too_bright = one.total > expected / _LOW_FRACTION + _SIGMA * np.sqrt(expected)
            hot = known & ((one.high * 2 >= one.count) | too_bright)
            hot &= one.total > _SIGMA**2
        result.masks.append(~(shadowed | dead | hot))
        result.n_shadowed += int(np.count_nonzero(shadowed))
        result.n_dead += int(np.count_nonzero(dead & ~shadowed))
        result.n_hot += int(np.count_nonzero(hot & ~shadowed))
    return result


def _fill_shadowed_centre(profile: np.ndarray) -> np.ndarray:
    """Radial profile in which rings that lie wholly in the beamstop's shadow have the level of the first ring outside.

    The shadow's edge is the outermost place within the inner quarter where the level falls, within eight pixels, to less
    than ``_LOW_FRACTION`` on the way inwards; no scattering from a sample does that.
    """
    step = int(8 / _RING_WIDTH)
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
        return AutomaticMask([np.ones_like(m) for m in masks], 0, 0, 0, 0)
    chosen = np.unique(np.linspace(0, images.n_images - 1, min(max_images, images.n_images)).round().astype(int))
    rings = ring_numbers(experiment)
    some = chosen[:: max(len(chosen) // 3, 1)]
    counts = _Counts(images, masks, some)
    look = _Look(images, list(masks), rings, _caps(images, masks, rings, some, counts), counts)
    parts = np.array_split(chosen, min(max(getattr(executor, "n_workers", 1), 1), len(chosen)))
    sums: list[PixelSums] = []
    for found in executor.map(look, parts):
        if not sums:
            sums = found
            continue
        for mine, theirs in zip(sums, found, strict=True):
            mine.add(theirs)
    scan = experiment.scan
    turned = 0.0 if scan is None else scan.n_images * scan.oscillation_deg[1]
    return judge_pixels(rings, sums, len(chosen), find_hot=turned >= 5.0)


class _Counts:
    """Values whose variance is their mean: photons, with the noise of an integrating camera added to them."""

    def __init__(self, images: ImageSequence, masks: Sequence[np.ndarray], indices: np.ndarray) -> None:
        self.corrections = images.corrections
        self.offsets = noise_offsets(images, masks, [int(i) for i in indices], self.corrections)

    def of(self, panel: int, raw: np.ndarray, out: np.ndarray) -> np.ndarray:
        """(slow, fast): the raw values themselves where they are counts already, else ``out``."""
        correction, offset = self.corrections[panel], self.offsets[panel]
        if not correction.is_needed and offset == 0.0:
            return raw
        values = correction.apply(raw, out)
        values += np.float32(offset)
        return values


@dataclass(frozen=True)
class _Look:
    """Sums over some images, per panel; whole numbers, so that they do not depend on how the images are divided."""

    images: ImageSequence
    masks: list[np.ndarray]
    rings: list[np.ndarray]
    caps: np.ndarray
    counts: _Counts

    def __call__(self, indices: np.ndarray) -> list[PixelSums]:
        """Look at the images of these indices."""
        sums = [PixelSums.empty(m.shape) for m in self.masks]
        values = [np.empty(m.shape, np.float32) for m in self.masks]
        panels: list[np.ndarray] | None = None
        for index in indices:
            panels = self.images.read(int(index), panels)
            for p, (raw, one) in enumerate(zip(panels, sums, strict=True)):
                image = np.ascontiguousarray(raw)
                low, high = self.images.experiment.detector[p].trusted_range
                good = trusted_mask(image, self.masks[p], low, high, np.empty(image.shape, np.bool_))
                image = self.counts.of(p, image, values[p])
                add_image(image, good, self.rings[p], self.caps, one.total, one.count, one.high)
        return sums


def _caps(
    images: ImageSequence,
    masks: Sequence[np.ndarray],
    rings: Sequence[np.ndarray],
    indices: np.ndarray,
    counts: _Counts,
) -> np.ndarray:
    """Largest value that counts, for each ring: the median over some images and ``_SIGMA`` standard deviations."""
    n_rings = max(int(r.max()) for r in rings) + 1
    medians = []
    for index in indices:
        ring_parts, value_parts = [], []
        for p, raw in enumerate(images.read(int(index))):
            low, high = images.experiment.detector[p].trusted_range
            image = np.ascontiguousarray(raw)
            good = trusted_mask(image, masks[p], low, high, np.empty(image.shape, np.bool_))
            ring_parts.append(rings[p][good])
            values = counts.of(p, image, np.empty(image.shape, np.float32))
            value_parts.append(values[good].astype(np.float64))
        medians.append(_ring_medians(np.concatenate(ring_parts), np.concatenate(value_parts), n_rings))
    level = np.max(medians, axis=0)
    # The median of few counts is a whole number, often 0: allow for the one above.
    # Whole numbers, so that sums are exact and do not depend on the order in which workers add.
    return np.ceil(level + 1.0 + _SIGMA * np.sqrt(level + 1.0))
