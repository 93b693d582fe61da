"""Flags of reflections that are set aside for R free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.symmetry import SpaceGroupLike, asu_indices, lattice_group, niggli_reduce, primitive_operator, space_group

from .grouping import pack_indices
from .statistics import resolution_of

__all__ = ["FreeFlags", "copied_flags", "free_flags"]


@dataclass(frozen=True, slots=True)
class FreeFlags:
    """Flags as CCP4 writes them.

    Attributes
    ----------
    hkl : (n, 3) int32
        Inside the asymmetric unit.
    flag : (n,) int64
        0 to `n_values` - 1; 0 is the test set.
    n_values : int
    """

    hkl: np.ndarray
    flag: np.ndarray
    n_values: int

    @property
    def n_free(self) -> int:
        """Reflections of the test set."""
        return int(np.count_nonzero(self.flag == 0))


def free_flags(
    hkl: npt.ArrayLike,
    cell: npt.ArrayLike,
    group: SpaceGroupLike,
    *,
    fraction: float = 0.05,
    max_free: int | None = 2000,
    use_lattice_symmetry: bool = True,
    max_delta: float = 5.0,
    n_shells: int | None = None,
    seed: int = 0,
) -> FreeFlags:
    """Draw a test set.

    Parameters
    ----------
    hkl : (n, 3) int
        Unique indices in the asymmetric unit.
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    fraction : float
        Share of the test set.
    max_free : int or None
        Largest number of reflections in it.
    use_lattice_symmetry : bool
        Reflections that the symmetry of the lattice makes equal have the same flag: twins and pseudosymmetry carry nothing from the
        working to the test set.
    max_delta : float, degrees
        How much the lattice may deviate from that symmetry.
    n_shells : int, optional
        Flags are thin layers of resolution, which lie in turn in each of so many shells: reflections that non-crystallographic symmetry
        relates, nearly all of which have neighbours at their resolution, have mostly the same flag.
    seed : int
    """
    index = np.ascontiguousarray(hkl, dtype=np.int32)
    key = pack_indices(index)
    if use_lattice_symmetry:
        key = _lattice_keys(index, np.asarray(cell, float), space_group(group), max_delta)
    _, which = np.unique(key, return_inverse=True)
    which = which.ravel()
    n_values = max(2, round(1.0 / fraction), math.ceil(len(index) / max_free) if max_free else 0)
    n_keys = int(which.max()) + 1 if len(which) else 0
    if n_shells is None:
        drawn = np.random.default_rng(seed).permutation(n_keys) % n_values
    else:
        d = resolution_of(index, np.asarray(cell, float))
        layers = np.empty(n_keys, np.int64)
        # as many reflections in each layer; the test set is the middle one of its shell
        layers[np.argsort(np.bincount(which, d**-2.0) / np.bincount(which))] = (
            np.arange(n_keys) * n_shells * n_values // max(n_keys, 1)
        )
        drawn = (layers + n_values - n_values // 2) % n_values
    return FreeFlags(index, np.asarray(drawn[which], dtype=np.int64), n_values)


def _lattice_keys(index: np.ndarray, cell: np.ndarray, group: gemmi.SpaceGroup, max_delta: float) -> np.ndarray:
    """(n,) int64: equal for indices that rotations of the lattice and Friedel's law make equivalent."""
    rows = np.array(gemmi.UnitCell(*cell.tolist()).orth.mat.tolist()).T  # a, b, c
    to_primitive = primitive_operator(group).matrix
    reduced, to_reduced = niggli_reduce(to_primitive @ rows)
    rotations = lattice_group(reduced, max_delta)
    h = index @ (to_reduced @ to_primitive).T
    best: np.ndarray | None = None
    for rotation in rotations:
        turned = np.rint(h @ rotation).astype(np.int64)
        for sign in (1, -1):
            key = pack_indices(sign * turned)
            best = key if best is None else np.maximum(best, key)
    assert best is not None
    return best


def copied_flags(
    hkl: npt.ArrayLike, group: SpaceGroupLike, reference: FreeFlags, extend: FreeFlags | None
) -> tuple[np.ndarray, int]:
    """Flags of a reference for these indices, and those of `extend` where it has none.

    Parameters
    ----------
    hkl : (n, 3) int
    group
        Space group.
    reference : FreeFlags
    extend : FreeFlags or None
        Of the same indices as `hkl`; None leaves what the reference lacks without a flag.

    Returns
    -------
    (n,) float64
        NaN where there is none.
    int
        How many the reference lacks.
    """
    keys = pack_indices(asu_indices(np.asarray(reference.hkl, np.int32), group)[0])
    order = np.argsort(keys)
    wanted = pack_indices(np.asarray(hkl))
    at = np.minimum(np.searchsorted(keys[order], wanted), max(len(order) - 1, 0))
    known = keys[order][at] == wanted if len(order) else np.zeros(len(wanted), bool)
    flags = np.where(known, reference.flag[order][at] if len(order) else 0, np.nan)
    if extend is not None:
        flags = np.where(known, flags, extend.flag)
    return flags, int(np.count_nonzero(~known))
