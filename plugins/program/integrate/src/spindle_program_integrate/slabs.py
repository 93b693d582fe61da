"""A set of images cut into slabs, each of which is one task: who measures which spot, and what of it.

The cut depends on the scan and on the depths of the spots alone, never on the number of workers. A slab has a *core* of images, and
reads some more on both sides, so that the spots with their centre in the core lie within what is read, all but the few deepest. Of
those each slab gives the pixels of its core, and they are measured once the last has come (`assembly`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spindle.table import ReflectionTable

from .blocks import Plan
from .joint import Neighbours
from .overlaps import Overlaps

__all__ = ["MARGIN", "OTHER", "PART", "WHOLE", "Slab", "Slabs"]

MARGIN = 1  # images before and after its box on which a spot still disturbs others
USUAL_PART = 0.95  # of the spots are no deeper than what slabs overlap by
CORES_PER_MARGIN = 4
SMALLEST_CORE = 12
GEOMETRY = ("id", "panel", "s1", "xyzcal.px")
OTHER, WHOLE, PART = 0, 1, 2


@dataclass(frozen=True)
class Slab:
    """What a task needs to know of its spots; pixels are read where it is done.

    Attributes
    ----------
    core : (int, int)
        Array indices, half open.
    part : (int, int)
        Which of how many parts of the wanted spots, where they do not fit into memory together.
    rows : (m,) int64
        Rows of the run's table.
    role : (m,) uint8
        ``WHOLE`` to be measured, ``PART`` of which the pixels on the core are wanted, ``OTHER`` that may disturb them.
    geometry : ReflectionTable
        What a profile model needs to know of the m spots.
    bbox : (m, 6) int32
    table : ReflectionTable
        All columns of the spots that are ``WHOLE``, in their order.
    expected : (m,) float64, counts
        Mean intensity of reflections of such resolution; negative where unknown.
    kept : (w,) bool
        Of which of those that are ``WHOLE`` the shoeboxes are wanted too.
    overlaps : Overlaps or None
        Of the w spots that are ``WHOLE``, with the places of others among the m; None where none are to be fitted together.
    """

    core: tuple[int, int]
    part: tuple[int, int]
    rows: np.ndarray
    role: np.ndarray
    geometry: ReflectionTable
    bbox: np.ndarray
    table: ReflectionTable
    expected: np.ndarray
    kept: np.ndarray
    overlaps: Overlaps | None = None

    def neighbours(self, of: np.ndarray) -> Neighbours | None:
        """Those of some of the w spots."""
        if self.overlaps is None:
            return None
        some = self.overlaps.of(of)
        return Neighbours(
            some.offsets, self.rows[some.other], self.geometry.select(some.other), self.expected[some.other]
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"{np.count_nonzero(self.role)} spots on images {self.core[0] + 1} to {self.core[1]}"


@dataclass(frozen=True)
class Wanted:
    """What a pass asks of the spots, each of all n rows of the table: what to measure (n,) bool, and as in `Slab`."""

    measure: np.ndarray
    kept: np.ndarray
    expected: np.ndarray
    overlaps: Overlaps | None = None


class Slabs:
    """The slabs of one set of images.

    Parameters
    ----------
    bbox : (n, 6) int32
        Boxes of all rows of the table.
    rows : (m,) int64
        Those on the images.
    first, last : int
        Array range of the images.
    core : float or None
        Images of a core; None: by the depth of the spots.
    usual : float
        Share of the spots that are no deeper than what slabs overlap by.
    """

    def __init__(
        self, bbox: np.ndarray, rows: np.ndarray, first: int, last: int, core: float | None = None, usual: float = USUAL_PART
    ) -> None:  # fmt: skip
        self.bbox = bbox
        order = np.lexsort((rows, bbox[rows, 4]))
        self.rows = rows[order]
        self.z0 = np.clip(bbox[self.rows, 4].astype(np.int64), first, last - 1)
        self.z1 = np.clip(bbox[self.rows, 5].astype(np.int64), first + 1, last)
        depth = self.z1 - self.z0
        self.deepest = int(depth.max(initial=1))
        usual = int(np.quantile(depth, usual)) if len(depth) else 1
        self.margin = (usual + 1) // 2
        n = max(1, round((last - first) / (core or max(SMALLEST_CORE, CORES_PER_MARGIN * self.margin))))
        n = min(n, last - first)
        n += (
            core is None and n > 1 and n % 2
        )  # an odd number leaves one of two workers idle at the end of each pass of a short scan
        self.edges = first + np.arange(n + 1, dtype=np.int64) * (last - first) // n
        self.home = np.clip(np.searchsorted(self.edges, (self.z0 + self.z1 - 1) // 2, "right") - 1, 0, n - 1)
        low, high = self.read_range(self.home)
        self.whole = (self.z0 >= low) & (self.z1 <= high)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def read_range(self, number: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last array index, half open, that slabs may read."""
        low = np.maximum(self.edges[number] - self.margin, self.edges[0])
        return low, np.minimum(self.edges[np.asarray(number) + 1] + self.margin, self.edges[-1])

    def peak_bytes(self) -> int:
        """Most memory that the pixels of one slab take at once when all its spots are measured."""
        peaks = (Plan(self.bbox, self.rows[(self.home == k) & self.whole]).peak_bytes() for k in range(len(self)))
        return max(peaks, default=0)

    def tasks(self, table: ReflectionTable, geometry: ReflectionTable, wanted: Wanted, n_parts: int) -> Iterator[Slab]:
        """The tasks of a pass, those without a wanted spot left out.

        Parameters
        ----------
        table : ReflectionTable
            All rows, with the columns that a fitter may want.
        geometry : ReflectionTable
            All rows, with the columns ``GEOMETRY``.
        wanted : Wanted
        n_parts : int
            The wanted spots of each slab are cut into so many.
        """
        share = np.zeros(len(self.rows), np.int64)
        measure = wanted.measure[self.rows]
        share[measure] = np.arange(np.count_nonzero(measure)) % n_parts
        for number in range(len(self)):
            for part in range(n_parts):
                slab = self._task(number, part, n_parts, measure & (share == part), table, geometry, wanted)
                if slab is not None:
                    yield slab

    def _task(
        self, number: int, part: int, n_parts: int, mine: np.ndarray, table: ReflectionTable,
        geometry: ReflectionTable, wanted: Wanted,
    ) -> Slab | None:  # fmt: skip
        first, last = int(self.edges[number]), int(self.edges[number + 1])
        low, high = (int(v) for v in self.read_range(number))
        begin = int(np.searchsorted(self.z0, low - MARGIN - self.deepest, "left"))
        end = int(np.searchsorted(self.z0, high + MARGIN, "left"))
        near = slice(begin, end)
        z0, z1 = self.z0[near], self.z1[near]
        role = np.full(end - begin, OTHER, np.uint8)
        role[mine[near] & self.whole[near] & (self.home[near] == number)] = WHOLE
        role[mine[near] & ~self.whole[near] & (z0 < last) & (z1 > first)] = PART
        if not role.any():
            return None
        taken = (z0 - MARGIN < high) & (z1 + MARGIN > low)
        rows, role = self.rows[near][taken], role[taken]
        own = rows[role == WHOLE]
        overlaps = None
        if wanted.overlaps is not None:
            near_own = wanted.overlaps.of(own)
            sorter = np.argsort(rows, kind="stable")
            places = np.searchsorted(rows[sorter], near_own.other)
            overlaps = Overlaps(near_own.offsets, sorter[places])
        return Slab(
            (first, last), (part, n_parts), rows, role, geometry.select(rows), self.bbox[rows], table.select(own),
            wanted.expected[rows], wanted.kept[own], overlaps,
        )  # fmt: skip
