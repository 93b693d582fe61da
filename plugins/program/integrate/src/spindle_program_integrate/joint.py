"""Overlapping spots fitted together: equations set up block by block, solved when all images have passed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.table import Flag, ReflectionTable, Shoeboxes

from .blocks import only_boxes
from .joint_kernels import (
    LEAST_SHARE,
    foreground_rectangles,
    joint_equations,
    local_variances,
    relax,
    shares_in_foreground,
)
from .kernels import csr_pixels

__all__ = ["Equations", "Neighbours", "set_up", "solve"]

CHUNK = 2000
MOST_SWEEPS = 300
# Sigma of a solution over that with all neighbours known; beyond it spots lie on one another, and no pixel tells them apart.
MOST_INFLATION = 30.0
PAIRS_AT_ONCE = 4096
NEXT_TO_NOTHING = 0.1 * LEAST_SHARE  # of all others in its foreground: such a spot needs no equation


@dataclass
class Neighbours:
    """The spots that may overlap with each of n spots.

    Attributes
    ----------
    offsets : (n + 1,) int64
        Spot i has those from ``offsets[i]`` on.
    rows : (k,) int64
        Rows of the run's table.
    geometry : ReflectionTable
        What a profile model needs to know of the k.
    expected : (k,) float64, counts
        Mean intensity of reflections of such resolution.
    """

    offsets: np.ndarray
    rows: np.ndarray
    geometry: ReflectionTable
    expected: np.ndarray


@dataclass
class Equations:
    """Equations of m spots, see `joint_equations`.

    Attributes
    ----------
    rows : (m,) int64
        Rows of the run's table.
    offsets : (m + 1,) int64
        Where the unknowns of each, its own left out, begin.
    others : (k,) int64
        Rows of those.
    diagonal, right, spread, own_noise, share : (m,) float64
        ``own_noise`` is what the uncertainty of the background adds to the variance of ``right``.
    cross, their_share : (k,) float64
    """

    rows: np.ndarray
    offsets: np.ndarray
    others: np.ndarray
    diagonal: np.ndarray
    right: np.ndarray
    spread: np.ndarray
    own_noise: np.ndarray
    share: np.ndarray
    cross: np.ndarray
    their_share: np.ndarray


def set_up(
    fitter: Any,
    rows: np.ndarray,
    table: ReflectionTable,
    boxes: Shoeboxes,
    expected: np.ndarray,
    mean_variance: np.ndarray,
    neighbours: Neighbours,
    usable: np.ndarray,
    profile: np.ndarray | None = None,
) -> Equations:
    """The equations of the spots of a block that have neighbours.

    Parameters
    ----------
    fitter : ProfileFitter
        With `expected_counts`.
    rows : (n,) int64
        Rows of the run's table.
    table : ReflectionTable
        Of the n spots.
    boxes : Shoeboxes
        With background.
    expected : (n,) float64, counts
    mean_variance : (n,) float64, counts^2 per pixel^2
        Variance of the mean background.
    neighbours : Neighbours
    usable : (n,) bool
        Spots with a background and enough valid pixels that others are near to.
    profile : (p,) float32, optional
        What `ProfileFit` says of the pixels of the n spots.
    """
    some = np.flatnonzero(usable & (np.diff(neighbours.offsets) > 0))
    parts, begin = [], 0
    pairs = np.concatenate([[0], np.cumsum(np.diff(neighbours.offsets)[some])])
    while begin < len(some):
        end = max(int(np.searchsorted(pairs, pairs[begin] + PAIRS_AT_ONCE, "right")) - 1, begin + 1)
        parts.append(_some(fitter, some[begin:end], rows, table, boxes, expected, mean_variance, neighbours, profile))
        begin = end
    return joined(parts)


def _some(
    fitter: Any, at: np.ndarray, rows: np.ndarray, table: ReflectionTable, boxes: Shoeboxes, expected: np.ndarray,
    mean_variance: np.ndarray, neighbours: Neighbours, profile: np.ndarray | None,
) -> Equations:  # fmt: skip
    lengths = np.diff(neighbours.offsets)[at]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pairs = csr_pixels(neighbours.offsets[at], offsets)
    rectangles = foreground_rectangles(boxes.bbox[at], boxes.offsets[at], boxes.mask)
    owner = np.repeat(np.arange(len(at)), lengths)
    cut = np.concatenate([rectangles, boxes.bbox[at, 4:]], axis=1)
    theirs = only_boxes(boxes.panel[at][owner], cut[owner])
    their_profile = fitter.expected_counts(neighbours.geometry.select(pairs), theirs, np.ones(len(pairs)))
    shares = np.zeros((len(pairs), 2))
    shares_in_foreground(
        boxes.bbox[at], boxes.offsets[at], boxes.mask, rectangles, offsets, theirs.offsets, their_profile, shares
    )
    near, shared = shares[:, 0] > NEXT_TO_NOTHING, shares[:, 1] > LEAST_SHARE
    some = np.flatnonzero(np.bincount(owner, near, len(at)) > 0)
    chosen = np.flatnonzero(shared)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[chosen], minlength=len(at))[some])]).astype(np.int64)
    pairs, their_starts, their_share = pairs[chosen], theirs.offsets[chosen], shares[chosen, 1]
    at, rectangles = at[some], rectangles[some]
    # where they are among the pixels of the block, which are not copied
    bbox, starts = boxes.bbox[at], boxes.offsets[at]
    own, own_starts = profile, starts
    if own is None:
        mine = only_boxes(boxes.panel[at], bbox)
        own, own_starts = fitter.expected_counts(table.select(at), mine, np.ones(len(at))), mine.offsets[:-1]
    diagonal, right, slope, share, spread = (np.zeros(len(at)) for _ in range(5))
    cross = np.zeros(len(pairs))
    joint_equations(
        bbox, starts, boxes.data, boxes.mask, boxes.background, rectangles, own_starts, own, offsets,
        their_starts, their_profile, expected[at], neighbours.expected[pairs], diagonal, right, slope, share, spread,
        cross,
    )  # fmt: skip
    return Equations(
        rows[at],
        offsets,
        neighbours.rows[pairs],
        diagonal,
        right,
        spread,
        slope**2 * mean_variance[at],
        share,
        cross,
        their_share,
    )


def joined(parts: list[Equations]) -> Equations:
    """All equations, those of spots without a diagonal left out."""
    if not parts:
        none, nothing = np.zeros(0, np.int64), np.zeros(0)
        return Equations(
            none, np.zeros(1, np.int64), none, nothing, nothing, nothing, nothing, nothing, nothing, nothing
        )  # fmt: skip

    def together(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in parts])

    lengths = np.concatenate([np.diff(p.offsets) for p in parts])
    good = together("diagonal") > 0
    of_good = np.repeat(good, lengths)
    of_good &= together("their_share") > 0
    number = np.bincount(np.repeat(np.arange(len(good)), lengths)[of_good], minlength=len(good))[good]
    return Equations(
        together("rows")[good],
        np.concatenate([[0], np.cumsum(number)]).astype(np.int64),
        together("others")[of_good],
        *(together(name)[good] for name in ("diagonal", "right", "spread", "own_noise", "share")),
        *(together(name)[of_good] for name in ("cross", "their_share")),
    )


def solve(
    parts: list[Equations],
    table: ReflectionTable,
    expected: np.ndarray,
    gain: float,
    map: Callable[[Callable[[int], Any], Iterable[int]], Iterator[Any]],
) -> int:
    """Solve the equations and put intensities into the table; summed counts lose what neighbours put into the foreground.

    Spots that cannot be told apart from a neighbour, their variance `MOST_INFLATION` squared times that with the neighbours
    known or more, have failed.

    Parameters
    ----------
    parts : list of Equations
    table : ReflectionTable
        All rows of the run with the results of single fits; changed.
    expected : (n,) float64, counts
        Of all rows.
    gain : float
    map
        Runs a function on items in several threads.

    Returns
    -------
    int
        Spots that share pixels with another.
    """
    e = joined(parts)
    if not len(e.rows) or not len(e.others):
        return 0
    order = np.argsort(e.rows, kind="stable")
    lengths = np.diff(e.offsets)[order]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    pixels = csr_pixels(e.offsets[:-1][order], starts)
    rows, others = e.rows[order], e.others[pixels]
    # neighbours without an equation of their own are what single fits say where no other spot is near, else what such spots are
    lone = np.setdiff1d(others, rows)
    unknowns = np.concatenate([rows, lone])
    sorter = np.argsort(unknowns, kind="stable")
    columns = sorter[np.searchsorted(unknowns[sorter], others)]
    before, its_variance = table["intensity.prf.value"][lone], table["intensity.prf.variance"][lone] / gain
    single = (
        table.has_flags(Flag.INTEGRATED_PRF)[lone] & ~table.has_flags(Flag.OVERLAPPED_FG)[lone] & (its_variance > 0)
    )
    mean = np.where(single, before, np.maximum(expected[lone], 1.0))
    weight = 1.0 / np.where(single, its_variance, mean**2)
    diagonal, right = np.concatenate([e.diagonal[order], weight]), np.concatenate([e.right[order], weight * mean])
    own_noise, share = (np.concatenate([v[order], np.zeros(len(lone))]) for v in (e.own_noise, e.share))
    spread = np.concatenate([e.spread[order], np.ones(len(lone))])
    starts = np.concatenate([starts, np.full(len(lone), starts[-1])])
    cross, their_share = e.cross[pixels], e.their_share[pixels]
    values = right / diagonal
    relax(starts, columns, diagonal, right, cross, values, MOST_SWEEPS)
    n = len(unknowns)
    fitted, removed, change = np.zeros(n), np.zeros(n), np.zeros(n)

    def chunk(first: int) -> None:
        local_variances(
            first, min(first + CHUNK, len(rows)), len(rows), starts, columns, diagonal, cross, spread, own_noise, share,
            their_share, values, fitted, removed, change,
        )  # fmt: skip

    for _ in map(chunk, range(0, len(rows), CHUNK)):
        pass
    flags = table["flags"]
    many, own = len(rows), e.diagonal[order]
    alone = (own * e.spread[order] + e.own_noise[order]) / own**2
    shared = lengths > 0
    told_apart = np.isfinite(fitted[:many]) & (fitted[:many] > 0) & (fitted[:many] <= MOST_INFLATION**2 * alone)
    at = np.flatnonzero(shared & told_apart)
    chosen = rows[at]
    table["intensity.prf.value"][chosen], table["intensity.prf.variance"][chosen] = values[at], fitted[at] * gain
    flags[chosen] |= np.uint64(int(Flag.INTEGRATED_PRF))
    flags[chosen] &= ~np.uint64(int(Flag.FAILED_DURING_PROFILE_FITTING))
    table["intensity.sum.value"][chosen] -= removed[at]
    variance = table["intensity.sum.variance"]
    variance[chosen] = np.maximum(variance[chosen] + change[at] * gain, fitted[at] * gain)
    lost = rows[shared & ~told_apart]  # their sums hold photons of others, nobody knows how many
    table["intensity.prf.value"][lost], table["intensity.prf.variance"][lost] = 0.0, -1.0
    flags[lost] &= ~np.uint64(int(Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM))
    flags[lost] |= np.uint64(int(Flag.FAILED_DURING_PROFILE_FITTING | Flag.FAILED_DURING_SUMMATION))
    return len(chosen)
