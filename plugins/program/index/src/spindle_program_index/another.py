"""Whether the spots that are left have a lattice of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.table import ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement, quiet

from .evidence import MOST_SHARED, improve, share
from .indexed import Indexed
from .judgement import FEWEST_SPOTS, fault
from .known_symmetry import KnownSymmetry
from .orientation import misorientation_deg, primitive_basis
from .proposals import reduced_basis
from .search import LatticeSearch
from .several import free_spots, matrix_of
from .spot_frames import SpotFrames, spot_frames

#: Split crystals are told of from this angle on, degrees.
NEAR_DEG = 0.3


def another_lattice(part: Indexed, params: Any, context: Any, few: bool = True) -> tuple[str, float] | None:
    """What to tell the user of a further lattice that convinces, and the number of its spots; None when there is none.

    Parameters
    ----------
    part : Indexed
        With as many lattices as were asked for.
    params : Params
        The whole tree of the program.
    context : RunContext
    few : bool
        Whether few spots have an index; if not, one is looked for where many of them most likely have it by chance.
    """
    if part.given[0].is_still:
        return None
    sweeps = Experiments([replace(e, crystal=None) for e in list(part.experiments)[: part.n_sweeps]])
    crystals = [e.known_crystal for e in list(part.experiments)[:: part.n_sweeps]]
    rows = np.sort(np.random.default_rng(42).permutation(len(part.reflections))[:MOST_SHARED])
    table = part.reflections.select(rows)
    frames = spot_frames(sweeps, table)
    free = free_spots(frames, crystals, part.harmonic)
    n_free = np.count_nonzero(free)
    if n_free < FEWEST_SPOTS or (not few and n_free < (1 - params.diagnosis.look_below) * len(rows)):
        return None
    scope = params.indexing.multiple_lattice_search
    all_were_sought = scope.max_lattices in (Auto, None) or part.n_lattices < scope.max_lattices
    separation = scope.minimum_angular_separation or 0.0
    for limit in (separation, NEAR_DEG):
        if (limit == separation and all_were_sought) or limit > separation:
            continue
        own = params.changed(indexing__multiple_lattice_search__minimum_angular_separation=limit)
        found = _find(sweeps, table, frames, free, crystals, part, own, context)
        if found is not None:
            crystal, n_spots = found
            n_spots = n_spots * len(part.reflections) / max(len(rows), 1)
            n_spots = min(
                n_spots, float(len(part.reflections) - part.n_indexed)
            )  # others it would take from known lattices
            nearest = min(misorientation_deg(primitive_basis(c), primitive_basis(crystal)) for c in crystals)
            return _text(crystal, n_spots, nearest, separation), n_spots
    return None


def _text(crystal: Crystal, n_spots: float, nearest_deg: float, separation_deg: float) -> str:
    if nearest_deg < separation_deg:
        return (
            f"The crystal is split: the same lattice, turned by {nearest_deg:.1f} degrees, explains {n_spots:.0f} of the spots that are left. "
            f"max_lattices=Auto minimum_angular_separation={max(nearest_deg / 2, NEAR_DEG):.1g} finds both (lattices nearer to each other "
            f"than minimum_angular_separation={separation_deg:g} are taken as one)"
        )
    cell = " ".join(f"{v:.1f}" for v in crystal.cell)
    return (
        f"A further lattice ({cell}) explains {n_spots:.0f} of the spots that are left: there are several crystals. "
        "max_lattices=Auto looks for all that convince"
    )


def _find(
    sweeps: Experiments, table: ReflectionTable, frames: SpotFrames, free: np.ndarray, crystals: list[Crystal], part: Indexed,
    params: Any, context: Any,
) -> tuple[Crystal, float] | None:  # fmt: skip
    """A further lattice that convinces, and the number of its spots."""
    n_tables = len(context.tables)
    try:
        with quiet():
            refinement = Refinement(params.refinement, context, False)
            known = KnownSymmetry.from_params(params.indexing.known_symmetry)
            search = LatticeSearch(params, refinement, context, known, part.max_cell)
            found = search.find(sweeps, table, free, crystals)
    except UserError as error:
        context.log.debug("No further lattice could be searched: %s", error)
        return None
    finally:
        del context.tables[n_tables:]
    if found is None:
        return None
    own = improve(frames.select(np.flatnonzero(free)), matrix_of(found.crystal), found.d_min)
    limit = params.indexing.multiple_lattice_search.minimum_angular_separation
    if any(misorientation_deg(primitive_basis(c), np.linalg.inv(own.A)) < limit for c in crystals):
        return None  # it was drawn to one that is known
    *others, lattice = share(frames, [*map(matrix_of, crystals), own.A]).lattices
    return None if fault(lattice, others) else (Crystal(A=np.linalg.inv(reduced_basis(own.A))), lattice.n_spots)
