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

__all__ = ["FreeFlags", "copied_flags", "free_flags", "number_of_flags"]


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
    n_values: int | None = None,
    seed: int = 0,
) -> FreeFlags:
    """Draw a test set: a reflection's flag follows from its index, so that runs again and parts of the data have the same one.

    Parameters
    ----------
    hkl : (n, 3) int
        Unique indices in the asymmetric unit.
    cell : (6,) float, angstrom and degrees
    group
        Space group.
    fraction : float
        Share of the test set, as chance has it.
    max_free : int or None
        Where the share is of more reflections than so many, it is made smaller.
    use_lattice_symmetry : bool
        Reflections that the symmetry of the lattice makes equal have the same flag: twins and pseudosymmetry carry nothing from the
        working to the test set.
    max_delta : float, degrees
        How much the lattice may deviate from that symmetry.
    n_shells : int, optional
        Flags are thin layers of resolution, which lie in turn in each of so many shells: reflections that non-crystallographic symmetry
        relates, nearly all of which have neighbours at their resolution, have mostly the same flag. Such flags are those of these indices
        only.
    n_values : int, optional
        See `FreeFlags`; by default as many as `fraction` and `max_free` say.
    seed : int
    """
    index = np.ascontiguousarray(hkl, dtype=np.int32)
    key = pack_indices(index)
    if use_lattice_symmetry:
        key = _lattice_keys(index, np.asarray(cell, float), space_group(group), max_delta)
    if n_values is None:
        n_values = number_of_flags(len(index), fraction, max_free)
    if n_shells is None:
        # of more values, the test set is a part of that of fewer
        flag = (_chance(key, seed) * n_values).astype(np.int64)
    else:
        flag = _layers(key, resolution_of(index, np.asarray(cell, float)), n_shells, n_values)
    return FreeFlags(index, flag, n_values)


def number_of_flags(n: int, fraction: float, max_free: int | None) -> int:
    """How many values flags of n reflections have: see `free_flags`."""
    return max(2, round(1.0 / fraction), math.ceil(n / max_free) if max_free else 0)


def _chance(key: np.ndarray, seed: int) -> np.ndarray:
    """(n,) float64 in [0, 1): by keys and seed alone, by the mixing of SplitMix64 (Steele, Lea & Flood 2014)."""
    mixed = key.astype(np.uint64) + np.uint64(((seed + 1) * 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) / 2.0**53


def _layers(key: np.ndarray, d: np.ndarray, n_shells: int, n_values: int) -> np.ndarray:
    """(n,) int64: flags as thin layers of resolution."""
    _, which = np.unique(key, return_inverse=True)
    which = which.ravel()
    n_keys = int(which.max()) + 1 if len(which) else 0
    layers = np.empty(n_keys, np.int64)
    # as many reflections in each layer; the test set is the middle one of its shell
    layers[np.argsort(np.bincount(which, d**-2.0) / np.bincount(which))] = (
        np.arange(n_keys) * n_shells * n_values // max(n_keys, 1)
    )
    drawn = (layers + n_values - n_values // 2) % n_values
    return np.asarray(drawn[which], dtype=np.int64)


def _lattice_keys(index: np.ndarray, cell: np.ndarray, group: gemmi.SpaceGroup, max_delta: float) -> np.ndarray:
    """(n,) int64: equal for indices that rotations of the lattice and Friedel's law make equivalent, the largest of them.

    They are compared in the setting that is given: which of several reduced cells is taken, two nearly equal edges must not decide.
    """
    rows = np.array(gemmi.UnitCell(*cell.tolist()).orth.mat.tolist()).T  # a, b, c
    to_primitive = primitive_operator(group).matrix
    reduced, to_reduced = niggli_reduce(to_primitive @ rows)
    rotations = lattice_group(reduced, max_delta)
    change = (to_reduced @ to_primitive).T
    h, back = index @ change, np.linalg.inv(change)
    best: np.ndarray | None = None
    for rotation in rotations:
        turned = np.rint(h @ rotation @ back).astype(np.int64)
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
