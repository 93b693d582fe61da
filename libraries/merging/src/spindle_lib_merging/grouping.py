"""Symmetry equivalents: which observations are of the same reflection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spindle.errors import ShapeError
from spindle.symmetry import asu_indices, epsilon_factors, is_centric

if TYPE_CHECKING:
    from spindle.symmetry import SpaceGroupLike

#: Observations, about, that are sorted by reflection together.
BLOCK = 2**17


@dataclass(frozen=True, slots=True)
class Groups:
    """Observations sorted by unique reflection.

    Attributes
    ----------
    order : (n,) int64
        Observations, those of one reflection next to each other; the input order is kept within a reflection.
    offsets : (m + 1,) int64
        Reflection j has the observations ``order[offsets[j]:offsets[j + 1]]``.
    hkl : (m, 3) int32
        Index of each reflection in the asymmetric unit; with anomalous groups, I(-) has the negated index.
    positive : (n,) bool
        In input order: whether the observation is an I(+).
    centric : (m,) bool
    epsilon : (m,) float64
        Factor of the mean intensity from symmetry.
    """

    order: np.ndarray
    offsets: np.ndarray
    hkl: np.ndarray
    positive: np.ndarray
    centric: np.ndarray
    epsilon: np.ndarray
    _index: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def n_groups(self) -> int:
        """Number of unique reflections."""
        return len(self.offsets) - 1

    @property
    def multiplicity(self) -> np.ndarray:
        """(m,) int64: observations per reflection."""
        return np.diff(self.offsets)

    @property
    def index(self) -> np.ndarray:
        """(n,) int64, in input order: the number of each observation's reflection. Made when asked for first."""
        if self._index is None:
            found = np.empty(len(self.order), dtype=np.int64)
            found[self.order] = np.repeat(np.arange(self.n_groups), self.multiplicity)
            object.__setattr__(self, "_index", found)
            return found
        return self._index

    def with_friedel_apart(self) -> tuple[Groups, np.ndarray]:
        """The same observations with Friedel mates of acentric reflections kept apart.

        Returns
        -------
        Groups
        whole : (k,) int64
            Which of these reflections each of the new ones belongs to.
        """
        order, n_minus = np.empty_like(self.order), np.empty(self.n_groups, np.int64)
        for first, last in self.blocks():
            here = slice(int(self.offsets[first]), int(self.offsets[last]))
            order[here], n_minus[first:last] = self._parted(first, last)
        n_plus = self.multiplicity - n_minus
        counts = np.stack([n_plus, n_minus], axis=1)
        whole, kind = np.nonzero(counts)
        hkl = np.where(kind[:, None] == 0, self.hkl[whole], -self.hkl[whole]).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(counts[whole, kind])]).astype(np.int64)
        return Groups(order, offsets, hkl, self.positive, self.centric[whole], self.epsilon[whole]), whole

    def _parted(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The observations of some reflections, I(-) of acentric ones behind the others of each, and how many those are."""
        offsets, rows = self.of_block(first, last)
        # those of a reflection stand together already: its mates only part, each kind in its order
        of_group = np.repeat(np.arange(last - first), np.diff(offsets))
        minus = ~(self.positive[rows] | self.centric[first:last][of_group])
        before = np.concatenate([[0], np.cumsum(minus)])  # mates among all rows in front of each
        n_minus = before[offsets[1:]] - before[offsets[:-1]]
        in_front = before[:-1] - before[offsets[:-1]][of_group]  # and among those of the same reflection
        begin_minus = (offsets[1:] - n_minus)[of_group]
        parted = np.empty_like(rows)
        parted[np.where(minus, begin_minus + in_front, np.arange(len(minus)) - in_front)] = rows
        return parted, n_minus

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and last reflection, half open, of blocks of about `BLOCK` observations: what is made of one block is no copy of all."""
        edges = np.searchsorted(self.offsets[:-1], np.arange(0, self.offsets[-1], BLOCK))
        return pairwise(np.unique([0, *edges.tolist(), self.n_groups]).tolist())

    def of_block(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of some reflections from their first observation on, and their observations."""
        offsets = self.offsets[first : last + 1]
        return offsets - offsets[0], self.order[offsets[0] : offsets[-1]]


def pack_indices(hkl: npt.ArrayLike) -> np.ndarray:
    """One int64 per Miller index (n, 3), ordered as h, k, l are; indices must lie within +-1048575."""
    h = np.asarray(hkl)
    if h.ndim != 2 or h.shape[1] != 3:
        raise ShapeError(f"Miller indices: expected an array (n, 3), got {h.shape}")
    key = np.full(len(h), 1 << 20, dtype=np.int64)  # in place: millions of indices are common
    key += h[:, 0].astype(np.int64, copy=False)
    for axis in (1, 2):
        key <<= 21
        key += h[:, axis].astype(np.int64, copy=False)
        key += 1 << 20
    return key


def group_equivalents(hkl: npt.ArrayLike, space_group: SpaceGroupLike, anomalous: bool = False) -> Groups:
    """Sort observations into unique reflections.

    Parameters
    ----------
    hkl : (n, 3) int
        Measured Miller indices.
    space_group
        Space group.
    anomalous
        Keep Friedel mates apart (except of centric reflections, which are their own).

    Returns
    -------
    Groups
        Sorted by index.
    """
    asu, isym = asu_indices(hkl, space_group)
    positive = isym % 2 == 1
    centric_observation = is_centric(asu, space_group) if len(asu) else np.zeros(0, bool)
    positive = positive | centric_observation
    keys = pack_indices(asu)
    if anomalous:
        keys = 2 * keys + ~positive
    order = _stable_order(asu, ~positive if anomalous else None)
    sorted_keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_keys[1:] != sorted_keys[:-1]])) if len(keys) else np.zeros(0)
    offsets = np.append(starts, len(keys)).astype(np.int64)
    first = order[offsets[:-1]]
    unique = asu[first]
    centric = centric_observation[first]
    epsilon = epsilon_factors(unique, space_group) if len(unique) else np.zeros(0)
    if anomalous:
        unique = np.where(positive[first][:, None], unique, -unique)
    return Groups(order, offsets, np.ascontiguousarray(unique, dtype=np.int32), positive, centric, epsilon)


def _stable_order(hkl: np.ndarray, last: np.ndarray | None) -> np.ndarray:
    """(n,) int64: what sorts by h, k, l and then `last` (n,) bool; equal ones stay in their order.

    Indices of a crystal fill a box that 32 bits count, and numpy sorts 16 bits at a time in linear time.
    """
    if len(hkl) < 2:
        return np.arange(len(hkl))
    low = hkl.min(axis=0).astype(np.int64)
    sizes = hkl.max(axis=0) - low + 1
    if float(np.prod(sizes, dtype=np.float64)) * 2 >= 2.0**32:
        columns = (hkl[:, 2], hkl[:, 1], hkl[:, 0])
        return np.lexsort(columns if last is None else (last, *columns)).astype(np.int64)
    place = np.zeros(len(hkl), np.uint32)
    for axis in range(3):
        place *= np.uint32(sizes[axis])
        place += (hkl[:, axis] - low[axis]).astype(np.uint32)
    if last is not None:
        place = 2 * place + last.astype(np.uint32)
    order = np.argsort(place.astype(np.uint16), kind="stable")  # the lower half
    upper = (place >> np.uint32(16)).astype(np.uint16)
    return order[np.argsort(upper[order], kind="stable")] if upper.any() else order
