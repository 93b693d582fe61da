"""A reference in the setting of a crystal: axes named otherwise, another centring of the same lattice, another space group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal
from spindle.symmetry import ChangeOfBasis, laue_class, laue_group_ops
from spindle_lib_merging import group_equivalents
from spindle_lib_reindexing import match
from spindle_lib_symmetry_analysis.alignment import MIN_COMMON, choices_against
from spindle_lib_symmetry_analysis.rotations import rounded

from .indexings import Indexings
from .reading import ReferenceIntensities

__all__ = ["in_basis_of"]

#: Cells of data and reference may differ by this part of an edge and by this angle in degrees.
CELL_LENGTHS, CELL_ANGLES = 0.1, 5.0


def in_basis_of(
    crystal: Crystal,
    reference: ReferenceIntensities,
    hkl: np.ndarray,
    value: np.ndarray,
    sigma: np.ndarray,
    parameter: str,
) -> tuple[ReferenceIntensities, ChangeOfBasis]:
    """The reference with indices as a crystal has them, in the asymmetric unit of its space group, each once.

    Parameters
    ----------
    crystal : Crystal
    reference : ReferenceIntensities
    hkl : (n, 3) int
        Observed in the basis of the crystal: where the cell of the reference is in another setting, they tell which of the lattice's
        indexings is theirs.
    value, sigma : (n,) float64
    parameter : str
        That named the reference, for messages.

    Returns
    -------
    ReferenceIntensities
        Where the symmetry of the crystal is higher, means of what it makes equal; where it is lower, each reflection has that of
        the equivalent which the reference has.
    ChangeOfBasis
        From the basis of the reference.

    Raises
    ------
    UserError
        If the cells are not those of one lattice.
    """
    known = reference.crystal
    operator = ChangeOfBasis.identity()
    same_laue = laue_class(known.space_group) == laue_class(crystal.space_group)
    if not (_alike(known, crystal) and _same_centring(known, crystal)):
        try:
            operator = match(known, crystal).operator
        except UserError as error:
            raise UserError(f"{parameter}: {error}. The reference is of another crystal form") from error
        operator = _turned(operator, reference, crystal, hkl, value, sigma)
    turned = _expanded(reference, not same_laue or not operator.is_identity())
    moved, whole = operator.apply_to_indices(turned.hkl)
    groups = group_equivalents(moved[whole], crystal.space_group)
    values, sigmas = turned.value[whole][groups.order], turned.sigma[whole][groups.order]
    n = groups.multiplicity
    mean = np.add.reduceat(values, groups.offsets[:-1]) / n if len(n) else values
    spread = np.sqrt(np.add.reduceat(sigmas**2, groups.offsets[:-1])) / n if len(n) else sigmas
    return replace(reference, hkl=groups.hkl, value=mean, sigma=spread, crystal=crystal), operator


def _alike(first: Crystal, second: Crystal) -> bool:
    difference = np.abs(first.cell - second.cell)
    return bool(np.all(difference[:3] <= CELL_LENGTHS * second.cell[:3]) and np.all(difference[3:] <= CELL_ANGLES))


def _same_centring(first: Crystal, second: Crystal) -> bool:
    return bool(first.space_group.centring_type() == second.space_group.centring_type())


def _expanded(reference: ReferenceIntensities, needed: bool) -> ReferenceIntensities:
    """All equivalents of the reference's own symmetry, each index once."""
    if not needed:
        return reference
    rotations = laue_group_ops(reference.crystal.space_group, proper=True)
    n = len(rotations)
    hkl = np.concatenate([reference.hkl @ r for r in rotations])
    unique, first = np.unique(np.concatenate([hkl, -hkl]), axis=0, return_index=True)
    rows = first % len(hkl) % max(len(reference.hkl), 1)
    assert n * len(reference.hkl) == len(hkl)
    return replace(reference, hkl=unique.astype(np.int32), value=reference.value[rows], sigma=reference.sigma[rows])


def _turned(
    operator: ChangeOfBasis,
    reference: ReferenceIntensities,
    crystal: Crystal,
    hkl: np.ndarray,
    value: np.ndarray,
    sigma: np.ndarray,
) -> ChangeOfBasis:
    """Of the rotations of the lattice that may follow an operator, the one under which the observed intensities agree."""
    indexings = Indexings(crystal)
    every = _expanded(reference, True)
    moved, whole = operator.apply_to_indices(every.hkl)
    spread = np.maximum(every.sigma[whole], 0.05 * np.abs(every.value[whole]) + 1e-30)
    theirs = indexings.normalised(moved[whole], every.value[whole], spread, crystal)
    mine = indexings.normalised(hkl, value, sigma, crystal)
    identity = [np.eye(3, dtype=np.int64)]
    choices = choices_against(mine, theirs, indexings.lattice, identity)
    known = [c for c in choices if c.n >= MIN_COMMON and np.isfinite(c.cc)]
    if not known:
        return operator
    best = max(known, key=lambda c: c.cc)
    return rounded(indexings.operator(best.rotation) @ operator)
