"""Symmetry equivalents: which observations are of the same reflection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spindle.errors import ShapeError
from spindle.symmetry import asu_indices, epsilon_factors, is_centric

if TYPE_CHECKING:
    from spindle.symmetry import SpaceGroupLike


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
        # those of a reflection stand together already: its mates only part, each kind in its order
        of_group = np.repeat(np.arange(self.n_groups), self.multiplicity)
        minus = ~(self.positive[self.order] | self.centric[of_group])
        before = np.concatenate([[0], np.cumsum(minus)])  # mates among all rows in front of each
        n_minus = before[self.offsets[1:]] - before[self.offsets[:-1]]
        n_plus = self.multiplicity - n_minus
        in_front = before[:-1] - before[self.offsets[:-1]][of_group]  # and among those of the same reflection
        place = np.where(minus, (self.offsets[:-1] + n_plus)[of_group] + in_front, np.arange(len(minus)) - in_front)
        order = np.empty_like(self.order)
        order[place] = self.order
        counts = np.stack([n_plus, n_minus], axis=1)
        whole, kind = np.nonzero(counts)
        hkl = np.where(kind[:, None] == 0, self.hkl[whole], -self.hkl[whole]).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(counts[whole, kind])]).astype(np.int64)
        return Groups(order, offsets, hkl, self.positive, self.centric[whole], self.epsilon[whole]), whole


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
