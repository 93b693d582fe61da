"""A quick count of the spots that another geometry would index."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import ReflectionTable

from .assignment import assign
from .candidates import candidate_bases
from .max_cell import estimate_max_cell
from .preparation import prepare
from .search import LatticeSearch, quiet

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
    try:
        table = prepare(spots, sweeps, params.indexing)
        max_cell = estimate_max_cell(table, params.indexing.max_cell_estimation)
        search = LatticeSearch(params, None, context, None, max_cell)  # type: ignore[arg-type]
        with quiet():
            vectors = search.basis_vectors(table["rlp"]).vectors
    except UserError:
        return 0
    phi, sweep = table["xyzobs.mm.value"][:, 2], table["imageset_id"]
    best = 0
    for number, basis in enumerate(candidate_bases(vectors)):
        if number == N_CANDIDATES:
            break
        found = assign(table["rlp"], phi, sweep, [np.linalg.inv(basis)], params.indexing.index_assignment)
        best = max(best, found.n_indexed)
    return best
