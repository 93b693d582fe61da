"""A quick count of the spots that another geometry would index."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_refinement.short_refinement import quiet
from spindle_lib_spots.max_cell import estimate_max_cell

from .beam_shift import best_shift, shifted
from .candidates import candidate_bases
from .index_assignment import assign
from .preparation import prepare
from .quality import alternatives, is_much_better
from .search import LatticeSearch

#: Candidates that are indexed, without refinement.
N_CANDIDATES = 50


def count_indexed(sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any) -> int:
    """Most spots that one lattice indexes, before any refinement.

    Parameters
    ----------
    sweeps : Experiments
        With the geometry to try.
    spots : ReflectionTable
    params : Params
        The whole tree of the program.
    context : RunContext
    """
    found = _vectors(sweeps, spots, params, context)
    if found is None:
        return 0
    table, vectors = found
    phi, sweep = table["xyzobs.mm.value"][:, 2], table["imageset_id"]
    best = 0
    for number, basis in enumerate(candidate_bases(vectors)):
        if number == N_CANDIDATES:
            break
        indexed = assign(table["rlp"], phi, sweep, [np.linalg.inv(basis)], params.indexing.index_assignment)
        best = max(best, indexed.n_indexed)
    return best


def better_rotation(
    sweeps: Experiments, spots: ReflectionTable, n_indexed: int, params: Any, context: Any
) -> str | None:
    """Whether another rotation axis, or another width of the images, indexes far more spots: what to tell, or None."""
    options = alternatives(sweeps)
    if not options:
        return None
    context.log.info("Few spots are indexed: trying other rotation axes and widths")
    now = max(n_indexed, count_indexed(sweeps, spots, params, context))
    counts = [count_indexed(o.sweeps, spots, params, context) for o in options]
    best = int(np.argmax(counts))
    total = len(spots)
    if not is_much_better(counts[best], now, total):
        return None
    option = options[best]
    return (
        f"With {option.description}, {100 * counts[best] / total:.0f} % of the spots can be indexed: most likely the {option.wrong} in the images' "
        f"header is wrong. Import again with {option.remedy}"
    )


def moved_beam(sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any) -> Experiments | None:
    """The sweeps with the detector moved to the beam centre that fits the spots best, or None.

    Parameters
    ----------
    sweeps : Experiments
    spots : ReflectionTable
    params : Params
        The whole tree of the program.
    context : RunContext
    """
    found = _vectors(sweeps, spots, params, context)
    if found is None or sweeps[0].is_still or len(found[1]) == 0:
        return None
    return shifted(sweeps, best_shift(sweeps, *found))


def _vectors(
    sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any
) -> tuple[ReflectionTable, np.ndarray] | None:
    """Prepared spots and lattice vectors without regard to what is known; None where the method fails."""
    try:
        table = prepare(spots, sweeps, params.indexing)
        max_cell = estimate_max_cell(table, params.indexing.max_cell_estimation)
        search = LatticeSearch(params, None, context, None, max_cell)  # type: ignore[arg-type]
        with quiet():
            return table, search.vectors(sweeps, table)
    except UserError:
        return None
