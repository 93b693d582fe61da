"""Which lattice point each spot belongs to: the nearest, if that is near enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .kernels import drop_duplicates, nearest_indices


@dataclass(slots=True)
class Assignment:
    """Indices of spots.

    Attributes
    ----------
    hkl : (n, 3) int32
        Zero where a spot has no index.
    lattice : (n,) int32
        Which lattice, -1 for none.
    """

    hkl: np.ndarray
    lattice: np.ndarray

    @property
    def n_indexed(self) -> int:
        """Number of spots with an index."""
        return int(np.count_nonzero(self.lattice >= 0))


def assign_simple(
    rlp: np.ndarray, phi: np.ndarray, sweep: np.ndarray, lattices: Sequence[np.ndarray], tolerance: float
) -> Assignment:
    """The nearest lattice point, if within `tolerance` (in indices) and no spot nearby in angle fits it better."""
    n = len(rlp)
    hkl, distance = np.zeros((n, 3), np.int32), np.empty(n)
    inverse = np.ascontiguousarray(np.linalg.inv(np.array(lattices)))
    lattice = nearest_indices(np.array(rlp, order="C"), inverse, hkl, distance)
    accepted = (distance <= tolerance**2) & np.any(hkl != 0, axis=1)
    keep_best(hkl, lattice, sweep, phi, distance, accepted)
    hkl[~accepted] = 0
    lattice[~accepted] = -1
    return Assignment(hkl, lattice)


def keep_best(
    hkl: np.ndarray, lattice: np.ndarray, sweep: np.ndarray, phi: np.ndarray, distance: np.ndarray, accepted: np.ndarray
) -> None:
    """Un-accept spots whose index another spot of the sweep within 45 degrees has with a smaller distance."""
    rows = np.flatnonzero(accepted)
    if len(rows) < 2:
        return
    span = 2 * int(np.abs(hkl[rows]).max()) + 1
    key = (sweep[rows].astype(np.int64) * (int(lattice.max()) + 1) + lattice[rows]) * span**3
    index = hkl[rows].astype(np.int64) + span // 2
    key += (index[:, 0] * span + index[:, 1]) * span + index[:, 2]
    by_key = np.argsort(key, kind="stable")
    key = key[by_key]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(key)) + 1, [len(key)]]).astype(np.int64)
    drop_duplicates(rows[by_key], starts, np.ascontiguousarray(phi), distance, accepted)
