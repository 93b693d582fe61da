"""What is tried: candidate cells, and where the detector is moved to for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spindle.models import Experiments

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
