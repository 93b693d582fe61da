"""Experiments and reflections in the reference settings of their space groups, for formats that hold only a number."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

from spindle.models import Experiments
from spindle.symmetry import ChangeOfBasis, change_crystal_basis, reference_operator
from spindle.table import ReflectionTable


def in_reference_setting(
    experiments: Experiments, table: ReflectionTable | None
) -> tuple[Experiments, ReflectionTable | None, list[str]]:
    """Cells, orientations and Miller indices as a format that knows space-group numbers only will understand them.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable or None
        `id` points into `experiments`; rows of none (id -1) keep their index.

    Returns
    -------
    experiments : Experiments
        Crystals in the reference setting of their number; the orientation of the crystal itself does not change.
    table : ReflectionTable or None
        Indices changed alike. Rows whose index the lattice of the new cell does not have are left out: absences of a
        centring that the reference setting is without.
    notes : list of str
        What was changed, one line per experiment and operator.

    Notes
    -----
    Settings that differ by the origin only have the same indices and equivalents; nothing is said about them.
    """
    changed, notes = [], []
    hkl = None if table is None or "miller_index" not in table else table["miller_index"].copy()
    keep = None if table is None else np.ones(len(table), dtype=bool)
    rows_of = {} if table is None else table.rows_by_experiment()
    operators: dict[str, ChangeOfBasis] = {}  # one for all crystals of a setting: they stay indexed alike
    for i, experiment in enumerate(experiments):
        crystal = experiment.crystal
        if crystal is None:
            changed.append(experiment)
            continue
        given = crystal.space_group
        operator = operators.setdefault(given.xhm(), reference_operator(given, crystal.cell))
        if operator.is_identity():
            changed.append(experiment)
            continue
        reference = gemmi.get_spacegroup_reference_setting(given.number)
        crystal = change_crystal_basis(crystal, operator, reference)
        changed.append(replace(experiment, crystal=crystal))
        if np.allclose(operator.matrix, np.eye(3)):
            continue
        lost = 0
        if hkl is not None and keep is not None and table is not None:
            rows = rows_of.get(i, np.zeros(0, np.int64))
            hkl[rows], whole = operator.apply_to_indices(hkl[rows])
            keep[rows] = whole
            lost = int(np.count_nonzero(~whole))
        cell = ", ".join(f"{v:.3f}" for v in crystal.cell)
        notes.append(
            f"experiment {i}: {given.xhm()} is written in the reference setting of number {given.number}, "
            f"{reference.xhm()}: reindexed with {operator.as_hkl()}, axes "
            f"{operator.as_abc()}, cell {cell}" + (f"; {lost} absences of the lattice left out" if lost else "")
        )
    if table is not None and hkl is not None and keep is not None and notes:
        result = table.view()
        result["miller_index"] = hkl
        table = result.select(keep)
    return Experiments(changed), table, notes
