"""Whether the spots that are left have a lattice of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Auto
from spindle_lib_refinement.short_refinement import Refinement, quiet

from .evidence import MOST_SHARED, improve, share
from .indexed import Indexed
from .judgement import FEWEST_SPOTS, fault
from .known_symmetry import KnownSymmetry
from .search import LatticeSearch
from .several import free_spots, matrix_of
from .spot_frames import spot_frames


def another_lattice(part: Indexed, params: Any, context: Any) -> str | None:
    """What to tell the user of a further lattice that convinces; None when there is none, or when all were looked for.

    Parameters
    ----------
    part : Indexed
        With as many lattices as were asked for.
    params : Params
        The whole tree of the program.
    context : RunContext
    """
    most = params.indexing.multiple_lattice_search.max_lattices
    if most in (Auto, None) or part.n_lattices < most or part.given[0].is_still:
        return None
    sweeps = Experiments([replace(e, crystal=None) for e in list(part.experiments)[: part.n_sweeps]])
    crystals = [e.known_crystal for e in list(part.experiments)[:: part.n_sweeps]]
    rows = np.sort(np.random.default_rng(42).permutation(len(part.reflections))[:MOST_SHARED])
    table = part.reflections.select(rows)
    frames = spot_frames(sweeps, table)
    free = free_spots(frames, crystals)
    if np.count_nonzero(free) < FEWEST_SPOTS:
        return None
    n_tables = len(context.tables)
    try:
        with quiet():
            refinement = Refinement(params.refinement, context, False)
            known = KnownSymmetry.from_params(params.indexing.known_symmetry)
            found = LatticeSearch(params, refinement, context, known, part.max_cell).find(sweeps, table, free, crystals)
    except UserError as error:
        context.log.debug("No further lattice could be searched: %s", error)
        return None
    finally:
        del context.tables[n_tables:]
    if found is None:
        return None
    own = improve(frames.select(np.flatnonzero(free)), matrix_of(found.crystal), found.d_min)
    *others, lattice = share(frames, [*map(matrix_of, crystals), own.A]).lattices
    if fault(lattice, others):
        return None
    cell = " ".join(f"{v:.1f}" for v in found.crystal.cell)
    scale = len(part.reflections) / max(len(rows), 1)
    return (
        f"A further lattice ({cell}) explains {scale * lattice.n_spots:.0f} of the spots that are left: there are several crystals. "
        "max_lattices=Auto looks for all that convince"
    )
