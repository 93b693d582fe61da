"""From any tabulated setting to the one that a space-group number stands for."""

from __future__ import annotations

import itertools
from functools import lru_cache

import gemmi
import numpy as np
import numpy.typing as npt

from .change_of_basis import ChangeOfBasis
from .space_groups import SpaceGroupLike, space_group


def reference_operator(group: SpaceGroupLike, cell: npt.ArrayLike | None = None) -> ChangeOfBasis:
    """The change of basis that takes a setting to the reference setting of its space-group number.

    Programs that know numbers only mean this setting: b unique, cell choice 1 for monoclinic groups, the standard axes
    of the International Tables for orthorhombic ones, hexagonal axes for R, no centring where none is needed.

    Parameters
    ----------
    group
        Any setting in gemmi's table.
    cell : (6,) float, angstrom and degrees, or None
        The crystal's cell. When given, a monoclinic crystal that has to be changed gets that of the equivalent
        reference cells whose beta is obtuse and nearest to 90 degrees.

    Returns
    -------
    ChangeOfBasis
        The identity, without shift, for a setting whose operators are those of the reference setting.
    """
    given = space_group(group)
    reference = gemmi.get_spacegroup_reference_setting(given.number)
    if given.operations() == reference.operations():
        return ChangeOfBasis.identity()
    # gemmi's basisop takes coordinates of the reference setting to those of this one.
    op = given.basisop
    back = np.linalg.inv(np.array(op.rot, dtype=float) / gemmi.Op.DEN)
    change = ChangeOfBasis(np.linalg.inv(back).T, -back @ (np.array(op.tran, dtype=float) / gemmi.Op.DEN))
    if cell is None or reference.crystal_system_str() != "monoclinic":
        return change
    choices = [ChangeOfBasis(m) @ change for m in _cells_of_the_same_group(reference.number)]
    return min(choices, key=lambda choice: _obliqueness(choice.apply_to_cell(cell)))


def _obliqueness(cell: np.ndarray) -> tuple[bool, float, float]:
    """Order of monoclinic cells: obtuse ones first, then beta near 90 degrees, then short edges."""
    return bool(cell[4] < 90.0 - 1e-6), round(abs(cell[4] - 90.0), 4), float(cell[0] + cell[2])


@lru_cache(maxsize=16)
def _cells_of_the_same_group(number: int) -> np.ndarray:
    """Changes of basis, (n, 3, 3) float64, in the plane across b that leave a monoclinic reference group what it is."""
    p, q, r, s = np.array(list(itertools.product(range(-3, 4), repeat=4))).T
    unimodular = np.abs(p * s - q * r) == 1
    p, q, r, s = p[unimodular], q[unimodular], r[unimodular], s[unimodular]
    matrices = np.zeros((len(p), 3, 3))
    matrices[:, 0, 0], matrices[:, 0, 2], matrices[:, 2, 0], matrices[:, 2, 2] = p, q, r, s
    matrices[:, 1, 1] = p * s - q * r
    # Rotations about and mirrors across b stay what they are; their translations have to.
    coordinates = np.rint(np.swapaxes(np.linalg.inv(matrices), 1, 2)).astype(int)
    operators = list(gemmi.get_spacegroup_reference_setting(number).operations())
    keep = np.ones(len(matrices), dtype=bool)
    for op in operators:
        allowed = np.array([other.tran for other in operators if other.rot == op.rot])
        moved = (coordinates @ np.array(op.tran)) % gemmi.Op.DEN
        keep &= np.any(np.all(moved[:, None] == allowed[None] % gemmi.Op.DEN, axis=2), axis=1)
    return matrices[keep]
