"""Larger cells of a lattice: spots between its points may be on points of a superlattice."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .evidence import CHANCE, Evidence, improve
from .judgement import FEWEST_SPOTS
from .spot_frames import SpotFrames

#: Steps in volume; larger ones are made of these.
FOLDS = (2, 3)
#: Steps that are taken one after the other at most.
MOST_STEPS = 3
#: A larger cell is taken when it gains this many times more, and more than chance.
MORE = 1.05
#: Rounds in which larger cells are compared: they begin at the fitted smaller one.
N_ROUNDS = 4


@lru_cache(maxsize=8)
def sublattice_matrices(fold: int) -> np.ndarray:
    """(m, 3, 3) float64: one integer matrix for each sublattice of `fold` times the volume, rows are its basis vectors.

    Notes
    -----
    Hermite normal forms: diagonal a b c with a b c = fold, 0 <= entries right of the diagonal < the diagonal entry below them. There are
    7 of 2, 13 of 3.
    """
    found = [
        [[a, d, e], [0, b, f], [0, 0, fold // (a * b)]]
        for a in range(1, fold + 1) if fold % a == 0
        for b in range(1, fold // a + 1) if fold // a % b == 0
        for d in range(b) for e in range(fold // (a * b)) for f in range(fold // (a * b))
    ]  # fmt: skip
    return np.array(found, dtype=np.float64)


def grown(frames: SpotFrames, lattice: Evidence, is_allowed: Callable[[np.ndarray], bool]) -> Evidence:
    """The superlattice that the spots speak for more than for the lattice itself, or the lattice.

    Vectors of the longest edge may be missing where its spots are few, weak or smeared, so that the lattice of the others is found alone.

    Parameters
    ----------
    frames : SpotFrames
    lattice : Evidence
    is_allowed : callable
        Whether a basis is compatible with what is known.
    """
    for _ in range(MOST_STEPS):
        if (1 - lattice.weight) * len(frames) < FEWEST_SPOTS:
            break
        basis = np.linalg.inv(lattice.A)
        bases = [matrix @ basis for fold in FOLDS for matrix in sublattice_matrices(fold)]
        trials = [improve(frames, np.linalg.inv(b), 0.0, N_ROUNDS) for b in bases if is_allowed(b)]
        best = max(trials, key=lambda e: e.gain, default=None)
        if best is None or best.gain < MORE * lattice.gain + CHANCE:
            break
        lattice = improve(frames, best.A, 0.0)
    return lattice
