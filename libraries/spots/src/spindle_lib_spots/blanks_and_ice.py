"""What the spots of whole sweeps say: images without spots among others that have many, and spots of ice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_ice import SPOT_WIDTH, ring_intervals

from .image_quality import sets_of_images

__all__ = ["BlanksAndIce", "blanks_and_ice", "ice_fraction"]

#: An image is blank with less than this part of the spots that good images of its sweep have (this quantile), where these are so many.
BLANK, USUAL, USUAL_SPOTS = 0.05, 0.9, 10.0
#: Rings within this resolution: further out they overlap, and there is nothing beside them.
ICE_D_MIN = 1.9
#: An excess in a ring counts when it is this many standard deviations of the counts.
SIGNIFICANT = 4.0


@dataclass(frozen=True, slots=True)
class BlanksAndIce:
    """Of all sweeps and stills together.

    Attributes
    ----------
    n_images : int
    n_blank : int or None
        Images with hardly any spots where other images of the sweep have many; None where there is no sweep with many.
    ice_fraction : float or None
        See `ice_fraction`; None without spots.
    """

    n_images: int
    n_blank: int | None
    ice_fraction: float | None


def blanks_and_ice(experiments: Experiments, spots: ReflectionTable) -> BlanksAndIce:
    """Look at the spots of each image set.

    Parameters
    ----------
    experiments : Experiments
        With beam, detector and scan.
    spots : ReflectionTable
        panel, xyzobs.px.value, and id or imageset_id.
    """
    n_images = n_blank = n_of_sweeps = 0
    squares = []
    for number, images in enumerate(sets_of_images(experiments)):
        rows = _rows(spots, images.numbers, number)
        xyz = spots["xyzobs.px.value"][rows]
        experiment = images.experiment
        n = images.last - images.first
        n_images += n
        d = experiment.detector.resolution_at(spots["panel"][rows].astype(np.int64), xyz[:, :2], experiment.beam.s0)
        squares.append(np.asarray(d, float) ** -2.0)
        if experiment.is_still or n < 2:
            continue
        image = np.clip(np.floor(xyz[:, 2]).astype(np.int64) - images.first, 0, n - 1)
        counts = np.bincount(image, minlength=n)[:n]
        usual = _quantile(counts, USUAL)
        if usual >= USUAL_SPOTS:  # else even the good images have so few that chance leaves some without
            n_of_sweeps += n
            n_blank += int(np.count_nonzero(counts < BLANK * usual))
    joined = np.concatenate(squares) if squares else np.zeros(0)
    return BlanksAndIce(n_images, n_blank if n_of_sweeps else None, ice_fraction(joined) if len(joined) else None)


def _quantile(counts: np.ndarray, part: float) -> float:
    """`numpy.quantile` of whole numbers (n,), which would import `numpy.ma`, a fiftieth of a small run."""
    ordered = np.sort(counts)
    place = part * (len(ordered) - 1)
    low = int(place)
    beyond = place - low
    left, right = float(ordered[low]), float(ordered[min(low + 1, len(ordered) - 1)])
    return left + (right - left) * beyond if beyond < 0.5 else right - (right - left) * (1.0 - beyond)


def _rows(spots: ReflectionTable, numbers: tuple[int, ...], imageset: int) -> np.ndarray:
    """Rows of the spots of an image set; those that are not indexed by the number of their set."""
    if "imageset_id" in spots:
        return np.flatnonzero(spots["imageset_id"] == imageset)
    return np.flatnonzero(np.isin(spots["id"], numbers))


def ice_fraction(squares: np.ndarray) -> float:
    """Excess of spots in the rings of hexagonal ice over those beside them, as a fraction of all.

    Parameters
    ----------
    squares : (n,) float64, 1/angstrom^2
        1/d^2 of all spots.

    Notes
    -----
    A ring is compared with the free ranges of its own width on both sides; rings without as much beside them, and an excess that chance
    gives, do not count.
    """
    if not len(squares):
        return 0.0
    squares = np.sort(squares[np.isfinite(squares)])
    rings = ring_intervals(ICE_D_MIN, SPOT_WIDTH)

    def count(low: float, high: float) -> int:
        return int(np.searchsorted(squares, high) - np.searchsorted(squares, low))

    excess = 0.0
    for k, (low, high) in enumerate(rings):
        width = high - low
        left = max(low - width, rings[k - 1, 1] if k else 0.0)
        right = min(high + width, rings[k + 1, 0] if k + 1 < len(rings) else np.inf)
        free = (low - left) + (right - high)
        if free < 0.5 * width:
            continue
        beside = (count(left, low) + count(high, right)) * width / free
        inside = count(low, high)
        noise = np.sqrt(inside + beside * width / free + 1.0)
        if inside - beside > SIGNIFICANT * noise:
            excess += inside - beside
    return float(excess / max(len(squares), 1))
