"""The indexing, setting and space group of a reference, for data sets that are in one indexing already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.symmetry import laue_class
from spindle.table import ReflectionTable
from spindle_lib_merging import prepare_intensities
from spindle_lib_reference_intensities import Indexings, clear_choice, in_basis_of, read_reference
from spindle_lib_reindexing import change_experiments, change_indices
from spindle_lib_symmetry_analysis.rotations import rounded

from .decision import Decision
from .params import CosymParams

__all__ = ["follow_reference"]


def follow_reference(
    decision: Decision, experiments: Experiments, table: ReflectionTable, params: CosymParams, context: Any
) -> Decision:
    """The decision with operators that lead to the indexing of the reference, and its space group where the Laue groups are the same.

    Parameters
    ----------
    decision : Decision
    experiments : Experiments
        As they came.
    table : ReflectionTable
    params : CosymParams
        With a ``reference``.
    context : RunContext

    Raises
    ------
    UserError
        If the reference cannot be read or is of another crystal form.
    """
    assert params.reference is not None
    changed = change_experiments(experiments, decision.operators, decision.group)
    data = prepare_intensities(change_indices(table, decision.operators).table, "auto")
    hkl, value, sigma = data.table["miller_index"], data.values[data.best], np.sqrt(data.variances[data.best])
    crystal, beam = changed[0].known_crystal, changed[0].beam
    d_min = 0.999 / float(np.linalg.norm(hkl @ crystal.A.T, axis=1).max())
    model = params.reference_model
    reference = read_reference(
        Path(params.reference), "reference", d_min, probe=beam.probe, wavelength=beam.wavelength, k_sol=model.k_sol, b_sol=model.b_sol
    )  # fmt: skip
    known = reference.crystal.space_group
    moved, setting = in_basis_of(crystal, reference, hkl, value, sigma, "reference")
    indexings = Indexings(crystal)
    spread = np.maximum(moved.sigma, 0.05 * np.abs(moved.value) + 1e-30)
    theirs = indexings.normalised(moved.hkl, moved.value, spread, crystal)
    choices = indexings.choices(theirs, indexings.normalised(hkl, value, sigma, crystal))
    best, clear = clear_choice([c for _, c in choices])
    rows = [[o.as_abc(), c.n, round(c.cc, 3), "*" if i == best else ""] for i, (o, c) in enumerate(choices)]
    headers = ["Change of basis", "Common reflections", "CC", ""]
    context.table(Table(f"Correlation with the reference ({reference.source})", headers, rows, "reference_cc"))
    if not clear:
        context.log.warning(
            "The intensities hardly tell which indexing is that of the reference: the best correlation is %.3f of %d reflections. "
            "The data are weak or twinned, or the reference is of another structure", choices[best][1].cc, choices[best][1].n,
        )  # fmt: skip
    same = laue_class(known) == laue_class(decision.group)
    if not same:
        context.log.warning(
            "The reference is in %s, the data in %s, of another Laue group: its indexing is taken, not its space group",
            known.xhm(), decision.group.xhm(),
        )  # fmt: skip
    turn = choices[best][0]
    back = setting.inverse() @ turn if same else turn
    group = known if same and params.space_group is None else decision.group
    if same and params.space_group is None and group.xhm() != decision.group.xhm():
        context.log.info("The space group of the reference, %s, is taken", group.xhm())
    return replace(decision, operators=[rounded(back @ o) for o in decision.operators], group=group)
