"""Refinement of the models once the symmetry is known.

Indexing and the first refinement leave the cell free (P 1). With the space group found, its constraints make the cell better
determined; the spots that were refined against are still there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import SpindleError
from spindle.models import Experiments
from spindle.table import ReflectionTable


def reindex_by_orientation(table: ReflectionTable, old: Experiments, new: Experiments) -> ReflectionTable:
    """A view of `table`, indexed by the crystals of `old`, with the indices that `new` gives the same lattice points."""
    result = table.view()
    hkl = table["miller_index"].copy()
    for i, (before, after) in enumerate(zip(old, new, strict=True)):
        if before.crystal is None or after.crystal is None:
            continue
        change = np.rint(np.linalg.inv(after.crystal.A) @ before.crystal.A * 12) / 12
        rows = table["id"] == i
        hkl[rows] = np.rint(table["miller_index"][rows] @ change.T)
    result["miller_index"] = hkl
    return result


def refine_in_symmetry(
    context: Any, refined: Any, spots: ReflectionTable, symmetrised: Experiments
) -> Experiments | None:
    """Experiments in the space group found, their models refined again under its constraints.

    Parameters
    ----------
    context : RunContext
    refined : Experiments
        Models of the first refinement, in whose setting `spots` are indexed.
    spots : ReflectionTable
        Its reflections.
    symmetrised : Experiments
        With the space group.

    Returns
    -------
    Experiments or None
        None when there is nothing to gain (triclinic) or the refinement fails; the reason is in the log.
    """
    groups = {e.crystal.space_group.crystal_system_str() for e in symmetrised if e.crystal is not None}
    if groups <= {"triclinic"} or len(refined) != len(symmetrised):
        return None
    try:
        reindexed = reindex_by_orientation(spots, refined, symmetrised)
        result = context.run_program("refine", symmetrised, reindexed, brief=True)
    except SpindleError as error:
        context.log.warning("The models could not be refined in the space group found and stay as they are: %s", error)
        return None
    improved: Experiments = result.experiments
    for i, experiment in enumerate(symmetrised):
        improved = improved.replace(
            i, profile=experiment.profile, identifier=experiment.identifier, imageset=experiment.imageset
        )
    return improved
