"""The ways to index a lattice that its intensities do not share, and which of them agrees with a reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle.models import Crystal
from spindle.symmetry import ChangeOfBasis, lattice_group, laue_group_ops, niggli_reduce, primitive_operator
from spindle_lib_symmetry_analysis.alignment import (
    MIN_COMMON,
    Alignment,
    IndexingChoice,
    Observed,
    align,
    choices_against,
    observed,
)
from spindle_lib_symmetry_analysis.normalisation import quasi
from spindle_lib_symmetry_analysis.rotations import rotations_onto, rounded

__all__ = ["Indexings", "clear_choice"]

#: Le Page tolerance of the lattice whose symmetries are tried, degrees.
MAX_DELTA = 5.0
#: A correlation below this is no agreement.
MIN_CC = 0.3


def to_reduced(crystal: Crystal) -> ChangeOfBasis:
    """From the basis of a crystal to the reduced primitive one."""
    primitive = primitive_operator(crystal.space_group)
    return ChangeOfBasis(niggli_reduce(primitive.matrix @ crystal.real_space)[1]) @ primitive


class Indexings:
    """The indexings of a crystal that the symmetry of its lattice leaves open.

    Parameters
    ----------
    crystal : Crystal
        With the space group of the intensities.

    Attributes
    ----------
    change : ChangeOfBasis
        To the reduced basis, in which all rotations are.
    lattice, group : list of (3, 3) int64
        Rotations of the lattice, and those among them that are symmetries of the intensities.
    allowed : list of (3, 3) int64
        Rotations of the lattice that leave the axes of symmetry where they are: the space group stays as it is.
    """

    def __init__(self, crystal: Crystal) -> None:
        self.change = to_reduced(crystal)
        x = self.change.xyz_rotation
        turned = x @ laue_group_ops(crystal.space_group, proper=True) @ np.linalg.inv(x)
        self.group = list(np.rint(turned).astype(np.int64))
        self.lattice = list(lattice_group(self.change.matrix @ crystal.real_space, MAX_DELTA))
        self.allowed = rotations_onto(self.lattice, self.group, self.group)

    @property
    def ambiguous(self) -> bool:
        """Whether there is more than one."""
        return len(self.allowed) > len(self.group)

    def normalised(self, hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray, crystal: Crystal) -> Observed:
        """Mean intensities without their fall-off with resolution, in the reduced basis.

        Parameters
        ----------
        hkl : (n, 3) int
            In the basis of `crystal`, which is set like that of the indexings.
        value, sigma : (n,) float64
        crystal : Crystal
        """
        x = np.square(hkl @ crystal.A.T).sum(axis=1)
        expected = np.maximum(quasi(value, x, np.ones(len(x))), 1e-30)
        reduced, whole = self.change.apply_to_indices(hkl)
        return observed(reduced[whole], (value / expected)[whole], (sigma / expected)[whole])

    def choices(self, reference: Observed, data: Observed) -> list[tuple[ChangeOfBasis, IndexingChoice]]:
        """How well data agree with a reference under each change of basis; the one that changes nothing comes first."""
        return [(self.operator(c.rotation), c) for c in choices_against(reference, data, self.allowed, self.group)]

    def aligned(self, sets: Sequence[Observed], frames: np.ndarray) -> tuple[list[ChangeOfBasis], Alignment]:
        """The change of basis of each data set that brings all to one indexing, that of the largest; see `align`."""
        found = align(sets, frames, self.allowed, self.group)
        return [self.operator(r) for r in found.rotations], found

    def operator(self, rotation: np.ndarray) -> ChangeOfBasis:
        """The change of basis that turns reduced indices to h R."""
        return rounded(self.change.inverse() @ ChangeOfBasis(rotation.T) @ self.change)


def clear_choice(choices: Sequence[IndexingChoice]) -> tuple[int, bool]:
    """Which choice agrees best, and whether the next one is clearly worse; with too few common reflections the first, not clear."""
    order = sorted(range(len(choices)), key=lambda i: -choices[i].cc if choices[i].n >= MIN_COMMON else 2.0)
    best = choices[order[0]]
    if best.n < MIN_COMMON or not np.isfinite(best.cc):
        return 0, False
    if len(order) == 1:
        return order[0], best.cc > MIN_CC
    second = choices[order[1]]
    lead = 2.0 * max((1.0 - best.cc**2) / np.sqrt(best.n - 1), 0.02)
    return order[0], bool(best.cc > MIN_CC and not best.cc - second.cc < lead)
