"""The settings to compare: each symmetry of the lattice with models and indices in its cell."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.symmetry import ChangeOfBasis, lattice_subgroups, laue_group_ops, space_group
from spindle.table import ReflectionTable
from spindle_lib_reindexing import change_experiments, change_indices
from spindle_lib_symmetry_analysis.common_basis import common_basis

#: Cells of several crystals may differ by this part of an edge and by this angle in degrees.
LENGTHS, ANGLES_DEG = 0.05, 2.0
MAX_DELTA = 5.0


@dataclass(frozen=True, slots=True)
class BravaisSetting:
    """One symmetry of the lattice.

    Attributes
    ----------
    number : int
        1 is triclinic; the highest symmetry that fits worst has the highest number.
    bravais : str
        Type of the lattice; I-centred monoclinic lattices count as mC, the group tells.
    group : gemmi.SpaceGroup
        The lowest chiral symmorphic group of that lattice, in the setting.
    operator : ChangeOfBasis
        From the cell of the input to that of the setting.
    max_angular_difference : float, degrees
        Largest Le Page delta of the twofold axes.
    """

    number: int
    bravais: str
    hall: str
    operator: ChangeOfBasis
    max_angular_difference: float

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The group that cell and orientation are constrained to."""
        return space_group(" " + self.hall)

    def experiments(self, given: Experiments) -> Experiments:
        """The experiments with their crystals in the setting, constrained."""
        return change_experiments(given, [self.operator] * len(given), self.group)

    def reflections(self, given: ReflectionTable) -> ReflectionTable:
        """The reflections with indices in the setting; what has none there is left out."""
        changed = change_indices(given, [self.operator]).table
        return changed.select((changed["miller_index"] != 0).any(axis=1) & (changed["id"] >= 0))


def settings_of(experiments: Experiments, max_delta: float | None, best_monoclinic_beta: bool) -> list[BravaisSetting]:
    """All settings, solution 1 (triclinic) first.

    Parameters
    ----------
    experiments : Experiments
        With crystals of one cell, in one basis.
    max_delta : float or None
        Le Page tolerance, degrees; None is 5.
    best_monoclinic_beta : bool

    Raises
    ------
    UserError
        If crystals have different cells, or were indexed in different bases.
    """
    try:
        common = common_basis(experiments, LENGTHS, ANGLES_DEG)
    except UserError as error:
        raise UserError(f"refine_bravais_settings: {error}; crystal_id= takes one crystal") from error
    first = common.operators[0]
    for i, operator in enumerate(common.operators):
        if not np.allclose(operator.matrix, first.matrix):
            raise UserError(
                f"refine_bravais_settings: the crystals of experiments 0 and {i} were indexed in different bases of one "
                "lattice, so that no operator is the same for both; take one with crystal_id=, or bring them to one "
                "basis with spindle reindex reference.experiments="
            )
    found = lattice_subgroups(common.basis, "P 1", MAX_DELTA if max_delta is None else max_delta, best_monoclinic_beta)
    settings = []
    for number, symmetry in zip(range(len(found), 0, -1), found, strict=True):
        operator = _simplest(symmetry.to_best @ first, symmetry.group)
        if symmetry.bravais == "aP" and _is_primitive(experiments):
            operator = ChangeOfBasis.identity()  # a triclinic cell that is there already stays
        settings.append(
            BravaisSetting(
                number,
                symmetry.bravais.replace("mI", "mC"),
                symmetry.lowest_group.hall,
                ChangeOfBasis(np.rint(operator.matrix * 24) / 24),
                symmetry.max_angular_difference,
            )
        )
    return settings[::-1]


def _simplest(operator: ChangeOfBasis, group: gemmi.SpaceGroup) -> ChangeOfBasis:
    """Of the operators that differ by a symmetry of the lattice the one most like the identity."""
    choices = [turn.T @ operator.matrix for turn in laue_group_ops(group, proper=True).astype(float)]
    likeness = [
        (-float(np.sum(m.diagonal() / np.linalg.norm(m, axis=1))), int(np.count_nonzero(m < -1e-6))) for m in choices
    ]
    return ChangeOfBasis(choices[min(range(len(choices)), key=lambda i: (round(likeness[i][0], 6), likeness[i][1]))])


def _is_primitive(experiments: Experiments) -> bool:
    return all(e.known_crystal.space_group.centring_type() == "P" for e in experiments)
