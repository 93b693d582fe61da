"""Which spots share pixels with which: the graph of overlaps, from boxes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .joint_kernels import CELL, box_cells, box_pairs
from .kernels import csr_pixels

__all__ = ["Cells", "Overlaps", "find_overlaps", "spot_cells"]

MOST = 48  # a spot with more neighbours is fitted by itself: no crystal has such spots, and time and memory have limits


@dataclass(frozen=True)
class Overlaps:
    """For each of n spots the others that it may share foreground with.

    Attributes
    ----------
    offsets : (n + 1,) int64
        Spot i has the neighbours ``other[offsets[i]:offsets[i + 1]]``.
    other : (k,) int64
        Numbers of spots.
    """

    offsets: np.ndarray
    other: np.ndarray

    def of(self, rows: np.ndarray) -> Overlaps:
        """Those of some spots (m,); the numbers of the others stay what they are."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Overlaps(offsets, self.other[csr_pixels(self.offsets[rows], offsets)])


@dataclass(frozen=True)
class Cells:
    """Squares of panels, and the boxes that reach into each.

    Attributes
    ----------
    members : (k,) int64
        Numbers of boxes, of one square after the other, in the order of their first images.
    starts : (c + 1,) int64
        Where those of each square begin: panel after panel, row after row.
    low, size : (2,) int64
        Of the first square along x and y, and how many there are.
    """

    members: np.ndarray
    starts: np.ndarray
    low: np.ndarray
    size: np.ndarray


def spot_cells(box: np.ndarray, panel: np.ndarray) -> Cells:
    """The squares that boxes (n, 6) float64 on panels (n,) int64 reach into."""
    low = np.floor(box[:, [0, 2]].min(axis=0, initial=0.0) / CELL).astype(np.int64)
    size = np.floor(box[:, [1, 3]].max(axis=0, initial=0.0) / CELL).astype(np.int64) - low + 1
    cells, members = box_cells(box, panel, low, size)
    order = np.lexsort((box[members, 4], cells))
    n_cells = (int(panel.max(initial=0)) + 1) * int(size.prod())
    return Cells(members[order], np.searchsorted(cells[order], np.arange(n_cells + 1)), low, size)


def find_overlaps(bbox: np.ndarray, panel: np.ndarray, rows: np.ndarray, border: float) -> Overlaps:
    """The graph of spots whose foregrounds may share a pixel of an image.

    Parameters
    ----------
    bbox : (n, 6) int32
        Boxes of all spots, ``border`` times as wide as the foreground.
    panel : (n,) int64
    rows : (m,) int64
        Spots to look at; the others have no neighbours.
    border : float

    Returns
    -------
    Overlaps
        Of all n spots, symmetric.
    """
    box = bbox[rows].astype(np.float64)
    for k in (0, 2):
        centre, half = 0.5 * (box[:, k] + box[:, k + 1]), 0.5 * (box[:, k + 1] - box[:, k]) / border + 1.0
        box[:, k], box[:, k + 1] = centre - half, centre + half
    cells = spot_cells(box, panel[rows].astype(np.int64))
    a, b = box_pairs(box, cells.members, cells.starts, cells.low, cells.size)
    number = np.bincount(a, minlength=len(rows)) + np.bincount(b, minlength=len(rows))
    few = (number[a] <= MOST) & (number[b] <= MOST)
    a, b = rows[a[few]], rows[b[few]]
    first, second = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((second, first))
    offsets = np.searchsorted(first[order], np.arange(len(bbox) + 1)).astype(np.int64)
    return Overlaps(offsets, second[order])
