"""How many counts a photon makes, from the scatter of neighbouring pixels.

Counts of photons scatter with a variance equal to their mean; a detector that gives g counts per photon makes the
variance g times the mean. So the index of dispersion (variance over mean) of windows without spots is the gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from spindle.errors import UserError
from spindle.images import ImageSequence, trusted_mask

from .windows import window_statistics

__all__ = ["GAIN_IMAGES", "GainEstimate", "chosen_images", "estimate_gain", "gain_of_windows"]

# A window counts when at least this part of its pixels is good ...
_LEAST_COVERAGE = 0.5
# ... and when it has seen at least this many photons.
_LEAST_PHOTONS = 20.0
# Windows farther from the gain than this many standard deviations hold spots, edges or shadows.
_SIGMA = 4.0
_LEAST_WINDOWS = 20
# Quantiles of the indices of dispersion at which the search for the gain begins.
_STARTS = (0.05, 0.15, 0.3, 0.5)
# Images that are enough where a program needs the gain on the way.
GAIN_IMAGES = 5

_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Maps(Protocol):
    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]: ...


@dataclass(slots=True)
class GainEstimate:
    """What the scatter of pixels says about the gain.

    Attributes
    ----------
    gain : float
        Counts per photon, over all panels and images.
    of_images : (n_images,) float64
        Of each image that was looked at; not a number where an image has too few counts.
    of_panels : (n_panels,) float64
        Of each panel, over all images; not a number where a panel has too few counts.
    indices : tuple of int
        The images that were looked at, counted from 0 within the experiment.
    dispersion : (n,) float64
        Index of dispersion of all windows with enough pixels and counts, in no particular order, for a histogram.
    n_used : int
        Windows that agree with the gain.
    maps : list of (slow, fast) float64, or None
        If asked for: the index of dispersion of the window around each pixel, mean over images. Where it disagrees with
        the gain of the panel (spots, edges, shadows) or cannot be told, that gain.
    """

    gain: float
    of_images: np.ndarray
    of_panels: np.ndarray
    indices: tuple[int, ...]
    dispersion: np.ndarray
    n_used: int
    maps: list[np.ndarray] | None = field(default=None)


@dataclass(slots=True)
class _Windows:
    """Windows of some images, flattened."""

    count: np.ndarray
    mean: np.ndarray
    dispersion: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[_Windows]) -> _Windows:
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("count", "mean", "dispersion")))


def gain_of_windows(count: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> tuple[float, np.ndarray]:
    """The gain on which most windows agree.

    Parameters
    ----------
    count : (n,) int
        Pixels of each window.
    mean : (n,) float64, counts
        Their mean.
    dispersion : (n,) float64
        Their index of dispersion.

    Returns
    -------
    gain : float
        Sum of the variances over sum of the means of the windows that agree; not a number when there are too few.
    used : (n,) bool
        The windows that agree.

    Notes
    -----
    For m Poisson counts of the same expectation and N photons in all, the index of dispersion has the expectation 1 and
    the variance 2 (1 - 1/N) / (m - 1) whatever the expectation (Fisher, R. A. (1950). Biometrics, 6, 17-24). Windows
    within four standard deviations of the current gain make the next. Several quantiles are the beginning; as spots and
    edges can only raise the index, the lowest result counts on which at least half as many windows agree as on any.
    """
    nothing = np.zeros(len(count), np.bool_)
    possible = (count > 1) & (mean > 0)
    if np.count_nonzero(possible) < _LEAST_WINDOWS:
        return float("nan"), nothing
    results: dict[float, np.ndarray] = {}
    for start in np.quantile(dispersion[possible], _STARTS):
        gain, used = _agreed(count, mean, dispersion, float(start))
        if np.isfinite(gain):
            results[gain] = used
    if not results:
        return float("nan"), nothing
    most = max(np.count_nonzero(used) for used in results.values())
    best = min(gain for gain, used in results.items() if 2 * np.count_nonzero(used) >= most)
    return best, results[best]


def _agreed(count: np.ndarray, mean: np.ndarray, dispersion: np.ndarray, gain: float) -> tuple[float, np.ndarray]:
    """The gain, near the given one, on which windows agree; not a number when they are too few."""
    degrees = np.maximum(count - 1.0, 1.0)
    used = np.zeros(len(count), np.bool_)
    for _ in range(50):
        if gain <= 0:
            return float("nan"), used
        enough = (count > 1) & (mean * count >= _LEAST_PHOTONS * gain)
        used = enough & (np.abs(dispersion / gain - 1.0) <= _SIGMA * np.sqrt(2.0 / degrees))
        if np.count_nonzero(used) < _LEAST_WINDOWS:
            return float("nan"), used
        weights = degrees[used]
        new = float(weights @ (dispersion[used] * mean[used]) / (weights @ mean[used]))
        if abs(new - gain) <= 1e-9 * gain:
            return new, used
        gain = new
    return gain, used


def chosen_images(n_images: int, max_images: int) -> tuple[int, ...]:
    """Images to look at, spread evenly: 0-based, at most `max_images`."""
    places = np.linspace(0, n_images - 1, min(max(max_images, 1), n_images))
    return tuple(int(i) for i in np.unique(places.round().astype(np.int64)))


@dataclass(frozen=True)
class _Look:
    """Windows of one image; arguments as those of `estimate_gain`."""

    images: ImageSequence
    masks: list[np.ndarray]
    kernel_size: tuple[int, int]
    with_maps: bool
    corrected: bool

    def __call__(self, index: int) -> tuple[list[_Windows], list[_Arrays]]:
        """Windows with enough pixels of each panel, and the whole maps if they are wanted."""
        step = (2 * self.kernel_size[0] + 1, 2 * self.kernel_size[1] + 1)
        windows: list[_Windows] = []
        whole: list[_Arrays] = []
        for p, raw in enumerate(self.images.read(int(index))):
            image, good = _counts(self.images, p, np.ascontiguousarray(raw), self.masks[p], self.corrected)
            count, mean, dispersion = window_statistics(
                image, good, self.kernel_size, (1, 1) if self.with_maps else step
            )
            if self.with_maps:
                whole.append((count, mean, dispersion))
                count, mean, dispersion = (a[:: step[0], :: step[1]] for a in (count, mean, dispersion))
            enough = (count >= _LEAST_COVERAGE * step[0] * step[1]) & (mean > 0)
            windows.append(_Windows(count[enough], mean[enough], dispersion[enough]))
        return windows, whole


def estimate_gain(
    images: ImageSequence,
    masks: Sequence[np.ndarray] | None = None,
    kernel_size: tuple[int, int] = (10, 10),
    indices: Sequence[int] = (0,),
    with_maps: bool = False,
    corrected: bool = False,
    executor: _Maps | None = None,
) -> GainEstimate:
    """Estimate the gain of a detector from some images.

    Parameters
    ----------
    images : ImageSequence
    masks : sequence of (slow, fast) bool, optional
        True is good; the images' own by default. The trusted range is applied on top.
    kernel_size : (int, int), pixels
        Half sizes of the windows, slow and fast: 10 is 21 pixels.
    indices : sequence of int
        Images to look at, counted from 0; see `chosen_images`.
    with_maps : bool
        Also make a map of the gain, which takes longer.
    corrected : bool
        False: counts per photon of raw values, freed from the pedestal only. True: what gain is left after the
        correction for the known gain.
    executor : object with ``map``, optional
        The run's executor.

    Returns
    -------
    GainEstimate

    Raises
    ------
    UserError
        If the images have too few counts or good pixels.
    """
    masks = images.masks if masks is None else masks
    n_panels = len(masks)
    step = (2 * kernel_size[0] + 1, 2 * kernel_size[1] + 1)
    full = step[0] * step[1]

    look = _Look(images, list(masks), kernel_size, with_maps, corrected)
    found = list(map(look, indices) if executor is None else executor.map(look, indices))
    of_images = np.array([gain_of_windows(*_columns(_Windows.join(w)))[0] for w, _ in found])
    of_panels = np.array(
        [gain_of_windows(*_columns(_Windows.join([w[p] for w, _ in found])))[0] for p in range(n_panels)]
    )
    every = _Windows.join([one for w, _ in found for one in w])
    gain, used = gain_of_windows(*_columns(every))
    if not np.isfinite(gain):
        path, _ = images.file_of(indices[0])
        raise UserError(
            f"{path}: the gain cannot be estimated: fewer than {_LEAST_WINDOWS} windows of {step[0]} x {step[1]} pixels "
            f"have {_LEAST_COVERAGE:.0%} good pixels and {_LEAST_PHOTONS:g} photons. Take more images or windows of "
            "another size (kernel_size), or give the gain"
        )
    enough_counts = every.mean * every.count >= _LEAST_PHOTONS * gain
    maps = None
    if with_maps:
        known = np.where(np.isfinite(of_panels), of_panels, gain)
        maps = [_map([whole[p] for _, whole in found], float(known[p]), full) for p in range(n_panels)]
    return GainEstimate(
        gain=gain,
        of_images=of_images,
        of_panels=of_panels,
        indices=tuple(int(i) for i in indices),
        dispersion=every.dispersion[enough_counts],
        n_used=int(np.count_nonzero(used)),
        maps=maps,
    )


def _columns(windows: _Windows) -> _Arrays:
    return windows.count, windows.mean, windows.dispersion


def _counts(
    images: ImageSequence, panel: int, raw: np.ndarray, mask: np.ndarray, corrected: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Values of a panel without pedestal (and gain, if `corrected`), and which of them are good."""
    low, high = images.experiment.detector[panel].trusted_range
    good = trusted_mask(raw, mask, low, high, np.empty(raw.shape, np.bool_))
    correction = images.corrections[panel]
    if corrected and correction.is_needed:
        return correction.apply(raw, np.empty(raw.shape, np.float32)), good
    if correction.pedestal.size > 1 or correction.pedestal[0, 0] != 0:
        return np.subtract(raw, correction.pedestal, dtype=np.float32, casting="unsafe"), good
    return raw, good


def _map(images: Sequence[_Arrays], gain: float, full: int) -> np.ndarray:
    """Mean over images of the index of dispersion around each pixel, see `GainEstimate`."""
    total, number = np.zeros(images[0][0].shape), np.zeros(images[0][0].shape)
    for count, mean, dispersion in images:
        good = (count >= _LEAST_COVERAGE * full) & (mean * count >= _LEAST_PHOTONS * gain)
        good &= np.abs(dispersion / gain - 1.0) <= _SIGMA * np.sqrt(2.0 / np.maximum(count - 1.0, 1.0))
        total[good] += dispersion[good]
        number[good] += 1
    return np.divide(total, number, out=np.full(total.shape, gain), where=number > 0)
