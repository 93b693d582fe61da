"""Rotation groups in the basis of a lattice, and the operators that lead there."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

from spindle.symmetry import ChangeOfBasis, laue_group_ops


def rotations_in(operator: ChangeOfBasis, group: gemmi.SpaceGroup) -> list[np.ndarray] | None:
    """Proper rotations of a group's Laue group after a change of basis.

    Returns
    -------
    list of (3, 3) int64 or None
        None when one of them is not whole there: it is no symmetry of that lattice.
    """
    change = operator.xyz_rotation
    turned = change @ laue_group_ops(group, proper=True) @ np.linalg.inv(change)
    whole = np.rint(turned)
    if np.abs(turned - whole).max() > 1e-3:
        return None
    return [np.asarray(r, dtype=np.int64) for r in whole.astype(np.int64)]


def same_rotations(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    """Whether two groups have the same elements."""
    return keys_of(first) == keys_of(second)


def keys_of(group: Sequence[np.ndarray]) -> set[bytes]:
    """The elements of a group in a form that can be compared."""
    return {np.asarray(r, dtype=np.int64).tobytes() for r in group}


def conjugate(rotation: np.ndarray, group: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The group as it is after indices were turned to h R: R^-1 G R."""
    inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
    return [inverse @ g @ rotation for g in group]


def rotations_onto(
    lattice: Sequence[np.ndarray], group: Sequence[np.ndarray], target: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The lattice's rotations that turn one group into another."""
    return [r for r in lattice if same_rotations(conjugate(r, group), target)]


def relative_to_first(to_minimum: Sequence[ChangeOfBasis]) -> list[ChangeOfBasis]:
    """Operators that leave the first experiment as it is and bring the others to its cell."""
    back = to_minimum[0].inverse()
    return [rounded(back @ operator) for operator in to_minimum]


def rounded(operator: ChangeOfBasis) -> ChangeOfBasis:
    """Whole numbers and simple fractions, free of rounding errors."""
    return ChangeOfBasis(np.rint(operator.matrix * 24) / 24, operator.shift)
