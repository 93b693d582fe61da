"""Images whose intensities are off those of their neighbours: a lost beam, a closed shutter, a crystal that jumped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle.models import Experiments
from spindle_lib_image_ranges import ImageRange

from .pieces import bundles_of, expected_intensities
from .rounds import Scaler

#: Fewest comparable observations of an image.
FEWEST = 6
#: Images on both sides with which one is compared.
NEIGHBOURS = 3
#: Deviations in units of their standard deviation.
SIGNIFICANT = 6.0
#: Images next to an odd one are odd when they are off by this part of the limit: reflections are recorded on both.
NEXT_TO_ONE = 0.5
#: Signal of observations that are compared.
LEAST_SIGNAL = 4.0
#: Where a larger part of a scan is odd, nothing is, and the scan is uneven.
MOST_ODD = 0.1


@dataclass(frozen=True, slots=True)
class ImageScales:
    """Scale of every image of a data set, from the equivalents of its reflections on other images.

    Attributes
    ----------
    number : int
        Data set.
    image : (n,) int64
        Image numbers with enough observations.
    scale, error : (n,) float64
        Median of observed over expected intensities, times the scale of the model, and its relative standard deviation.
    neighbours : (n,) float64
        Median of that of the images next to it.
    odd : (n,) bool
    """

    number: int
    image: np.ndarray
    scale: np.ndarray
    error: np.ndarray
    neighbours: np.ndarray
    odd: np.ndarray

    def ranges(self) -> list[ImageRange]:
        """The odd ones."""
        return [ImageRange(self.number, int(i), int(i)) for i in self.image[self.odd]]


def image_scales(scaler: Scaler, experiments: Experiments, place: np.ndarray, limit: float) -> list[ImageScales]:
    """Compare the images of every scan with their neighbours.

    Parameters
    ----------
    scaler : Scaler
        After scaling.
    experiments : Experiments
    place : (n,) float64
        Array index of each observation.
    limit : float
        Relative deviation from the neighbours above which an image is odd.
    """
    obs = scaler.obs
    variance = scaler.corrected_variance()
    expected = expected_intensities(obs, variance, scaler.run_here, others_only=True)

    def compare(sets: list[int]) -> list[ImageScales]:
        found = []
        for k in sets:
            if experiments[k].scan is None or experiments[k].is_still:
                continue
            begin, end = int(obs.bounds[k]), int(obs.bounds[k + 1])
            # as the smooth scale has it: what an image has of its own is what is looked for
            steady = expected[begin:end] / np.maximum(_term(scaler, k, "image"), 1e-6)
            here = np.flatnonzero(steady > LEAST_SIGNAL * np.sqrt(obs.variance[begin:end]))
            rows, factor = begin + here, _term(scaler, k, "scale")[here]
            image = np.floor(place[rows]).astype(np.int64) + 1
            found.append(_of_scan(k, image, obs.intensity[rows] / steady[here], factor, limit))
        return found

    return [one for some in scaler.run_here(compare, bundles_of(np.diff(obs.bounds))) for one in some]


def _term(scaler: Scaler, number: int, name: str) -> np.ndarray:
    """A part of the scale factors of a data set; ones where there is none."""
    layout, model = scaler.layout, scaler.layout.models[number]
    n = int(scaler.obs.bounds[number + 1] - scaler.obs.bounds[number])
    for term in model.terms:
        if term.name == name:
            return np.asarray(term.values(scaler.parameters[layout.slices[number][name]]))
    return np.ones(n)


def _of_scan(number: int, image: np.ndarray, ratio: np.ndarray, factor: np.ndarray, limit: float) -> ImageScales:
    order = np.argsort(image, kind="stable")
    image, ratio, factor = image[order], ratio[order], factor[order]
    starts = np.flatnonzero(np.concatenate([[True], image[1:] != image[:-1]])) if len(image) else np.zeros(0, np.int64)
    numbers, sizes = image[starts], np.diff(np.append(starts, len(image)))
    keep = sizes >= FEWEST
    middle = _middles(ratio, starts, sizes)
    scatter = 1.4826 * _middles(np.abs(ratio - np.repeat(middle, sizes)), starts, sizes)
    means = np.add.reduceat(factor, starts) / sizes if len(numbers) else np.zeros(0)
    scale = (middle * means)[keep]
    error = (1.2533 * scatter / np.sqrt(np.maximum(sizes, 1)) / np.maximum(np.abs(middle), 0.05))[keep]
    numbers = numbers[keep]
    neighbours = _medians(scale)
    odd = _odd(numbers, scale, error, neighbours, limit)
    if odd.any():  # neighbours without the odd ones
        neighbours = _medians(np.where(odd, np.nan, scale))
        odd = _odd(numbers, scale, error, neighbours, limit)
    if odd.sum() > max(1, MOST_ODD * len(odd)):
        odd = np.zeros(len(odd), bool)
    return ImageScales(number, numbers, scale, error, neighbours, odd)


def _middles(values: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(m,) float64: medians of m runs of values (n,)."""
    ranked = values[np.lexsort((values, np.repeat(np.arange(len(starts)), sizes)))]
    return np.asarray(0.5 * (ranked[starts + (sizes - 1) // 2] + ranked[starts + sizes // 2]))


def _medians(scale: np.ndarray) -> np.ndarray:
    """Median of the images on both sides of each, without itself."""
    if not len(scale):
        return scale
    padded = np.concatenate([np.full(NEIGHBOURS, np.nan), scale, np.full(NEIGHBOURS, np.nan)])
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    ranked = np.sort(np.delete(near, NEIGHBOURS, axis=1), axis=1)  # what is no number comes last
    n = np.isfinite(ranked).sum(axis=1)
    each = np.arange(len(scale))
    return np.asarray(0.5 * (ranked[each, np.maximum(n - 1, 0) // 2] + ranked[each, n // 2]))


def _odd(image: np.ndarray, scale: np.ndarray, error: np.ndarray, neighbours: np.ndarray, limit: float) -> np.ndarray:
    """Which images are off, and then which of those next to them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        off = np.abs(scale / neighbours - 1.0)
        sigma = np.maximum(error * np.abs(scale / neighbours), 0.01)
    off = np.where(np.isfinite(off), off, 0.0)
    odd = (off > limit) & (off > SIGNIFICANT * sigma)
    beside = np.isin(image, np.concatenate([image[odd] - 1, image[odd] + 1]))
    return np.asarray(odd | (beside & (off > NEXT_TO_ONE * limit) & (off > 0.5 * SIGNIFICANT * sigma)))


def sentence(scales: Sequence[ImageScales]) -> str:
    """What is odd, in words; empty where nothing is."""
    parts = []
    for s in scales:
        for i in np.flatnonzero(s.odd):
            set_name = f"data set {s.number}, " if len(scales) > 1 else ""
            parts.append(f"{set_name}image {s.image[i]} ({s.scale[i] / s.neighbours[i]:.2f} of its neighbours)")
    return "; ".join(parts[:30]) + (f"; and {len(parts) - 30} more" if len(parts) > 30 else "")
