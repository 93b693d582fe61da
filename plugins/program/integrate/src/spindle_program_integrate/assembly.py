"""Spots that are deeper than slabs of images overlap: pieces of their shoeboxes put together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spindle.table import ReflectionTable, Shoeboxes

from .blocks import BYTES_PER_BLOCK, BYTES_PER_PIXEL, SPOTS_PER_BLOCK
from .crowded import Surroundings
from .image_kernels import touch_others
from .joint import Neighbours
from .kernels import join_pieces
from .measure import Filled
from .slabs import GEOMETRY, MARGIN, Wanted
from .stream import Pieces

__all__ = ["Assembly"]


class Assembly:
    """Shoeboxes of deep spots, complete when the slab that holds their last image has come.

    Parameters
    ----------
    table : ReflectionTable
        All rows of the run, with the columns that a fitter may want, among them bbox and panel.
    wanted : Wanted
    """

    def __init__(self, table: ReflectionTable, wanted: Wanted) -> None:
        self.table, self.wanted = table, wanted
        self.panel = table["panel"].astype(np.int64)
        self._pieces: list[Pieces] = []
        self.bytes = 0

    def add(self, pieces: Pieces) -> None:
        """Take in what a slab gave."""
        self._pieces.append(pieces)
        self.bytes += pieces.shoeboxes.nbytes

    def complete(self, end: int) -> Iterator[Filled]:
        """Blocks of the spots whose last image is before the array index ``end``; the others stay."""
        if not self._pieces:
            return
        rows = np.concatenate([p.rows for p in self._pieces])
        unique = np.unique(rows)
        done = unique[self.table["bbox"][unique, 5] <= end]
        size = np.prod(np.diff(self.table["bbox"][done].astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0], axis=1)
        total = np.cumsum(size * BYTES_PER_PIXEL)
        block = np.maximum(total // BYTES_PER_BLOCK, np.arange(len(done)) // SPOTS_PER_BLOCK)
        cuts = np.flatnonzero(np.diff(block)) + 1
        for part in np.split(done, cuts) if len(done) else ():
            yield self._assembled(part)
        self._drop(done)

    def _assembled(self, rows: np.ndarray) -> Filled:
        """The shoeboxes of some rows, in ascending order."""
        table, wanted = self.table, self.wanted
        whole = Shoeboxes.empty(table["panel"][rows].astype(np.int64), table["bbox"][rows])
        marks = np.zeros(len(rows), np.uint8)
        for pieces in self._pieces:
            at = np.searchsorted(rows, pieces.rows)
            mine = np.flatnonzero((at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] == pieces.rows))
            if not len(mine):
                continue
            at = at[mine]
            marks[at] |= pieces.marks[mine]
            some = pieces.shoeboxes
            box = whole.bbox[at].astype(np.int64)
            area = (box[:, 1] - box[:, 0]) * (box[:, 3] - box[:, 2])
            begin = whole.offsets[at] + (some.bbox[mine, 4] - box[:, 4]) * area
            join_pieces(some.offsets, mine, begin, some.data, some.mask, whole.data, whole.mask)
        neighbours, around = None, None
        if wanted.overlaps is not None:
            near = wanted.overlaps.of(rows)
            geometry = ReflectionTable({name: table[name][near.other] for name in GEOMETRY})
            neighbours = Neighbours(near.offsets, near.other, geometry, wanted.expected[near.other])
            around = self._around
        return Filled(
            rows, whole, marks, table.select(rows), wanted.expected[rows], wanted.kept[rows], neighbours, around
        )  # fmt: skip

    def _around(self, rows: np.ndarray) -> Surroundings:
        """The spots that may share pixels with some rows."""
        bbox = self.table["bbox"]
        first, last = int(bbox[rows, 4].min()), int(bbox[rows, 5].max())
        near = np.flatnonzero((bbox[:, 4] < last + MARGIN) & (bbox[:, 5] > first - MARGIN))
        near = near[touch_others(self.panel, bbox, rows, near, MARGIN)]
        geometry = ReflectionTable({name: self.table[name][near] for name in GEOMETRY})
        return Surroundings(near, self.table["bbox"][near], geometry, self.wanted.expected[near])

    def _drop(self, rows: np.ndarray) -> None:
        """Forget the pieces of some rows."""
        kept = []
        for pieces in self._pieces:
            stay = np.flatnonzero(~np.isin(pieces.rows, rows))
            if len(stay):
                boxes = pieces.shoeboxes.select(stay)
                kept.append(Pieces(pieces.rows[stay], pieces.marks[stay], boxes))
        self._pieces = kept
        self.bytes = sum(p.shoeboxes.nbytes for p in kept)
