"""Images on which the beam was lost or weak: their level falls and comes back between one image and the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["LostRange", "image_level", "lost_ranges"]

SAMPLED = 200_000  # pixels of an image, at the most
STRIDE_STEP = 31  # no detector is that number of pixels, or a small multiple, wide
LEAST_SIGNIFICANCE = 8.0
LEAST_COUNTS = 3.0


@dataclass(frozen=True)
class LostRange:
    """Images that follow each other.

    Attributes
    ----------
    first, last : int
        Positions, half open.
    share : float
        Mean level of the images as a share of that of the images around them.
    """

    first: int
    last: int
    share: float


def image_level(
    panels: Sequence[np.ndarray], good: Sequence[np.ndarray], trusted: Sequence[tuple[float, float]]
) -> tuple[float, int]:
    """Sum and number of pixels that stand for the scatter of an image; spots count for little.

    Parameters
    ----------
    panels : sequence of (n_slow, n_fast) real
        Counts of each panel.
    good : sequence of (n_slow, n_fast) bool
    trusted : sequence of (float, float)
        Least and most that count as measured.

    Returns
    -------
    (float, int)
        Sum of up to 200,000 trusted pixels, each cut at five times the mean of its panel and five counts more, and their number.
    """
    size = sum(values.size for values in panels)
    step = 1 if size <= SAMPLED else STRIDE_STEP * (1 + size // (SAMPLED * STRIDE_STEP))
    total, number = 0.0, 0
    for values, mask, (low, high) in zip(panels, good, trusted, strict=True):
        some, usable = np.asarray(values).reshape(-1)[::step], mask.reshape(-1)[::step]
        some = some[usable & (some >= low) & (some <= high)].astype(np.float64)
        if len(some):
            total += float(np.minimum(some, 5.0 * max(some.mean(), 0.0) + 5.0).sum())
            number += len(some)
    return total, number


def lost_ranges(level: np.ndarray, counts: np.ndarray, least: float) -> list[LostRange]:
    """Ranges of images whose level is far below that of the images on both sides.

    A range is lost when the level falls by a step from one image to the next and rises by one behind it (at the ends of a sweep, one
    of the two), by more than chance, to less than a share ``least`` of what is beside it. Slow changes, of a crystal that turns out
    of the beam or behind its support, are none, and never is half of a sweep lost. Dips within dips are found from the deepest on.

    Parameters
    ----------
    level : (n,) float64
        Mean counts of pixels; nan where unknown.
    counts : (n,) float64
        Counts that each level stands for: its relative noise is that of Poisson's law, and 1 % more for the beam's own.
    least : float
        Share of the level beside a range from which on it is good.

    Returns
    -------
    list of LostRange
        In order.
    """
    known = np.flatnonzero(np.isfinite(level))
    if len(known) < 3:
        return []
    # levels have logarithms: no counts are taken for three
    seen = np.maximum(counts[known], LEAST_COUNTS)
    pixels = np.where(level[known] > 0, counts[known] / np.maximum(level[known], 1e-300), np.nan)
    usual = np.nanmedian(pixels) if np.isfinite(pixels).any() else 1.0
    log = np.log(seen / np.where(np.isfinite(pixels), pixels, usual))
    noise = 1.0 / seen + 1e-4
    alive = np.ones(len(known), np.bool_)
    most = (len(known) - 1) // 2
    dips: list[tuple[np.ndarray, float]] = []
    while True:
        at = np.flatnonzero(alive)
        step = np.diff(log[at])
        needed = np.maximum(-np.log(least), LEAST_SIGNIFICANCE * np.sqrt(noise[at][1:] + noise[at][:-1]))
        edges = np.flatnonzero(np.abs(step) > needed)
        starts = np.concatenate([[0], edges + 1])
        ends = np.concatenate([edges + 1, [len(at)]])
        found = []
        for a, b in zip(starts, ends, strict=True):
            down, up = a == 0 or step[a - 1] < 0, b == len(at) or step[b - 1] > 0
            if down and up and len(starts) > 1 and b - a <= most:
                beside = [log[at[k]] for k in ((a - 1,) if a else ()) + ((b,) if b < len(at) else ())]
                found.append((at[a:b], float(log[at[a:b]].mean() - np.mean(beside))))
        if not found:
            break
        rows, depth = min(found, key=lambda one: one[1])
        if np.count_nonzero(~alive) + len(rows) > most:
            break
        dips.append((rows, depth))
        alive[rows] = False
    return _joined(known, level, alive)


def _joined(known: np.ndarray, level: np.ndarray, alive: np.ndarray) -> list[LostRange]:
    """Ranges of what is not alive, each with its share of the level of the living on both sides."""
    if alive.all():
        return []
    usual = np.interp(known, known[alive], level[known][alive])
    shares = np.where(usual > 0, level[known] / np.maximum(usual, 1e-300), 1.0)
    found, lost = [], np.flatnonzero(~alive)
    # ranges of one depth stand apart
    breaks = np.flatnonzero((np.diff(lost) > 1) | (np.abs(np.diff(shares[lost])) > 0.15)) + 1
    for rows in np.split(lost, breaks):
        found.append(LostRange(int(known[rows[0]]), int(known[rows[-1]]) + 1, float(shares[rows].mean())))
    return found
