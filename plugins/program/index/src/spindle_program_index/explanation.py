"""Why spots cannot be indexed, in terms of the spots."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_ice import in_broad_ring
from spindle_lib_refinement.short_refinement import quiet
from spindle_lib_spots.max_cell import estimate_max_cell

from .preparation import prepare

#: Fewer spots than this seldom tell a lattice.
FEW_SPOTS = 60
#: A spot is on the planes of a vector within this part of their distance; chance has twice as many there.
NEAR = 0.15
#: A period is clear when this many standard deviations more spots are on its planes than by chance, and this part more.
CLEAR_SIGMA, CLEAR_PART = 7.0, 0.08
#: Fraction of spots in ice rings, and how many times what the resolution leads one to expect, that is worth a word.
MUCH_ICE, TIMES_ICE = 0.25, 2.0
#: Two directions belong together when the spots on the planes of both are this many times more than without a connection.
TOGETHER = 1.15


def explain(sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any) -> list[str]:
    """Reasons, the most likely first; each a sentence with numbers and what to do.

    Parameters
    ----------
    sweeps : Experiments
    spots : ReflectionTable
    params : Params
        The whole tree of the program.
    context : RunContext
    """
    table = prepare(spots, sweeps, params.indexing)
    n = len(table)
    reasons = []
    if n < FEW_SPOTS:
        reasons.append(
            f"{n} spots are few: use more images, or find weaker spots (a smaller sigma_strong of the threshold, or min_spot_size, in "
            "spindle find_spots)"
        )
    reasons += _ice(table)
    vectors = _periods(table, params, context)
    is_periodic, text = _periodicity(table["rlp"], vectors)
    reasons.append(text)
    if is_periodic:
        reasons.append(
            "the beam centre may be wrong: run spindle search_beam_position with the same files and index its optimised.expt"
        )
    return reasons


def _periods(table: ReflectionTable, params: Any, context: Any) -> np.ndarray:
    """(m, 3) float64, angstrom: periods of the spots by one-dimensional transforms."""
    try:
        with quiet():
            max_cell = params.indexing.max_cell
            if not isinstance(max_cell, int | float):
                max_cell = estimate_max_cell(table, params.indexing.max_cell_estimation)
            found = context.algorithm("indexing", "fft1d").find_basis_vectors(
                rlp=np.ascontiguousarray(table["rlp"]), min_cell=float(params.indexing.min_cell or 0.0), max_cell=float(max_cell),
                target_cell=None, executor=context.executor,
            )  # fmt: skip
    except UserError:
        return np.zeros((0, 3))
    vectors: np.ndarray = found.vectors
    return vectors


def _periodicity(rlp: np.ndarray, vectors: np.ndarray) -> tuple[bool, str]:
    """Whether there are clear periods, and what they say."""
    n = len(rlp)
    # Shorter vectors feel the outline of the spots, whatever is inside.
    vectors = vectors[np.linalg.norm(vectors, axis=1) * np.linalg.norm(rlp, axis=1).max(initial=0.0) > 2.5]
    if n < 10 or len(vectors) == 0:
        return False, f"the spots have no clear period: none was found in {n} of them. Look at them: are they spots?"
    turns = rlp @ vectors.T
    near = np.abs(turns - np.rint(turns)) < NEAR
    share, chance = near.mean(axis=0), 2 * NEAR
    clear = share > chance + np.maximum(CLEAR_PART, CLEAR_SIGMA * np.sqrt(chance * (1 - chance) / n))
    first = int(np.argmax(share))
    length = np.linalg.norm(vectors[first])
    if not clear.any():
        return False, (
            f"the spots have no clear period: {100 * share[first]:.0f} % of them are near the planes of the best vector, {length:.1f} A, and "
            f"{100 * chance:.0f} % would be by chance. Look at them: are they spots? Check distance, wavelength, rotation axis and the width "
            "of the images"
        )
    text = f"the clearest period, {length:.1f} A, has {100 * share[first]:.0f} % of the spots near its planes ({100 * chance:.0f} % by chance)"
    rows = np.flatnonzero(clear)
    together = [
        np.mean(near[:, i] & near[:, j]) / (share[i] * share[j]) for k, i in enumerate(rows) for j in rows[k + 1 :]
    ]
    if len(rows) < 3:
        return (
            True,
            f"{text}, but fewer than three are clear, which make no lattice: use more images, or give unit_cell=",
        )
    if np.mean(np.array(together) < TOGETHER) > 0.5:
        return True, (
            f"{text}, but most of the {len(rows)} clear ones have different spots near their planes: there are several lattices "
            "(max_lattices=Auto; unit_cell= if it is known), or the geometry is wrong"
        )
    return True, f"{text}, and {len(rows)} are clear: the spots have a lattice, but no cell of it could be refined"


def _ice(table: ReflectionTable) -> list[str]:
    """Whether an unlikely part of the spots is in the rings of ice."""
    d = 1 / np.maximum(np.linalg.norm(table["rlp"], axis=1), 1e-9)
    inside = in_broad_ring(d)
    if len(d) < FEW_SPOTS:
        return []
    # Spots beside the rings: where they would be if the rings were elsewhere.
    moved = float(np.median([np.mean(in_broad_ring(d * f)) for f in np.linspace(0.8, 1.25, 10)]))
    part = float(np.mean(inside))
    if part < MUCH_ICE or part < TIMES_ICE * moved:
        return []
    return [
        f"{100 * part:.0f} % of the spots are in the rings of ice, where {100 * moved:.0f} % would be without ice: find spots again with "
        "filter.ice_rings.filter=True"
    ]
