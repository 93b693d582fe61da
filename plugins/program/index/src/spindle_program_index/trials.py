"""What is tried: candidate cells, and where the detector is moved to for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from spindle.models import Experiments
from spindle.prediction import predict_stills_for_indexed
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement

from .evidence import CHANCE, Evidence
from .proposals import relation
from .scoring import Solution
from .superlattices import MORE

#: A proposal whose spots are off by more than this many pixels is tried with the detector moved by as much.
MOVED_PX = 0.5


class Trial(NamedTuple):
    """A candidate to be tried.

    Attributes
    ----------
    basis : (3, 3) float64, angstrom
    move : (float, float), mm
        Of the detector along fast and slow: spots of a beam centre that is wrong have no indices on the lattice that they have.
    """

    basis: np.ndarray
    move: tuple[float, float] = (0.0, 0.0)


def refine_trial(
    refinement: Refinement, experiments: Experiments, reflections: ReflectionTable, fixed: bool, stills: Any
) -> tuple[Experiments, float]:
    """A candidate after a short refinement, and its rmsd in the plane of the detector, mm.

    Parameters
    ----------
    refinement : Refinement
    experiments : Experiments
    reflections : ReflectionTable
        Indexed.
    fixed : bool
        Without the geometry.
    stills : Params or None
        The scope ``indexing.stills`` where it applies.
    """
    if stills is None or stills.refine_all_candidates:
        reject = stills is None or stills.candidate_outlier_rejection
        result = refinement.refine_candidate(experiments, reflections, fixed, reject)
        return result.experiments, float(np.hypot(*result.steps[-1].rmsd[:2]))
    table = predict_stills_for_indexed(experiments, reflections)
    difference = (table["xyzcal.mm"] - table["xyzobs.mm.value"])[table.has_flags(Flag.PREDICTED), :2]
    return experiments, float(np.sqrt(np.mean(np.sum(difference**2, axis=1)))) if len(difference) else np.inf


def move_of(sweeps: Experiments, proposal: Evidence, fixed: bool) -> tuple[float, float]:
    """How the detector is moved for a proposal, mm along fast and slow; not where the geometry is known or is that of stills."""
    if fixed or sweeps[0].is_still or np.hypot(*proposal.offset) < MOVED_PX:
        return 0.0, 0.0
    x, y = -proposal.offset * sweeps[0].detector[0].pixel_size
    return float(x), float(y)


def without_subcells(solutions: Sequence[Solution]) -> list[Solution]:
    """Without lattices that are a part of another one for which more speaks."""
    return [
        s for s in solutions
        if not any(o.gain > MORE * s.gain + CHANCE and relation(s.A, o.A) == "subcell" for o in solutions)
    ]  # fmt: skip


def without_harmonics(solutions: Sequence[Solution]) -> list[Solution]:
    """Without larger cells of lattices whose spots between are known to be of a harmonic of the beam."""
    told = [o for o in solutions if o.harmonic]
    return [s for s in solutions if not any(_is_larger(s.A, o.A) for o in told)]


def _is_larger(A: np.ndarray, other: np.ndarray) -> bool:
    """Whether a cell is made of several of another."""
    change = np.linalg.solve(A, other)  # basis vectors in terms of the others: A^-1 other
    whole = np.rint(change)
    return bool(np.abs(change - whole).max() < 0.1 and abs(round(float(np.linalg.det(whole)))) > 1)
