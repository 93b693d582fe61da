"""Lattices to be refined: candidate cells, fitted to the spots, one for each lattice, with what speaks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from spindle.errors import ModelError
from spindle.symmetry import niggli_reduce

from .evidence import CHANCE, Evidence, improve
from .orientation import misorientation_deg
from .spot_frames import SpotFrames
from .superlattices import grown

#: Spots that judge a proposal; a lattice of few of them has less than the gain that it must have with all.
MOST_SPOTS = 4000
#: Proposals whose gain is less than this part of the best one's are given up.
LEAST_PART = 0.4
#: Bases are of one lattice when each vector of one is a whole-number combination of the other's within this.
SAME = 0.1
#: Lattices that are looked at, also those that cannot be meant.
MOST_LOOKED_AT = 200
#: Orientations nearer to each other are one, whatever minimum_angular_separation says, degrees.
LEAST_SEPARATION_DEG = 0.1
#: One lattice is contained in another with at most this many points for each of its own.
MOST_FOLD = 8


def propose(
    frames: SpotFrames,
    bases: Iterable[np.ndarray],
    d_min: float,
    wanted: int,
    is_allowed: Callable[[np.ndarray], bool],
) -> list[Evidence]:
    """Fit candidate cells to the spots; those that explain them best come first.

    Parameters
    ----------
    frames : SpotFrames
        Spots without a lattice, or some thousands of them.
    bases : iterable of (3, 3) float64, angstrom
        Rows a, b, c; most likely first.
    d_min : float, angstrom
        Resolution at which they are about right.
    wanted
        Lattices to fit.
    is_allowed : callable
        Whether a basis is compatible with what is known, and not that of a lattice which there is already.
    """
    found: list[Evidence] = []
    seen = np.zeros((0, 3, 3))
    for basis in bases:
        if _is_of_any(basis, seen):
            continue
        A = np.linalg.inv(basis)
        if is_allowed(basis):
            found.append(improve(frames, A, d_min))
            A = found[-1].A
        seen = np.concatenate([seen, A[None]])
        if len(found) >= wanted or len(seen) >= MOST_LOOKED_AT:
            break
    found.sort(key=lambda e: -e.gain)
    best: list[Evidence] = []
    for evidence in found:
        if evidence.gain < CHANCE / 2 or evidence.gain < LEAST_PART * best_gain(best):
            break
        try:
            reduced = reduced_basis(evidence.A)
        except ModelError:  # fitted until it was flat
            continue
        if any(_fold(reduced @ other.A) > 0 for other in best) or not is_allowed(reduced):
            continue
        best.append(evidence)
    if best:
        larger = grown(frames, best[0], is_allowed)
        if larger is not best[0]:
            best.insert(0, larger)
    return best


def _is_of_any(basis: np.ndarray, matrices: np.ndarray) -> bool:
    """Whether a basis is that of one of the lattices with matrices A (m, 3, 3)."""
    combination = basis @ matrices
    whole = np.rint(combination)
    same = np.abs(combination - whole).max(axis=(1, 2)) <= SAME if len(matrices) else np.zeros(0, np.bool_)
    return bool(np.any(np.abs(np.rint(np.linalg.det(whole[same]))) == 1)) if same.any() else False


def best_gain(evidences: Sequence[Evidence]) -> float:
    """That of the first one."""
    return evidences[0].gain if evidences else 0.0


def reduced_basis(A: np.ndarray) -> np.ndarray:
    """(3, 3) float64, angstrom: rows of the Niggli-reduced right-handed basis of a lattice."""
    basis = np.linalg.inv(A)
    return np.asarray(niggli_reduce(basis * np.sign(np.linalg.det(basis)))[0])


def _fold(combination: np.ndarray) -> int:
    """Of how many cells of another lattice the cell with these combinations of its vectors is made; 0 when of no whole ones."""
    whole = np.rint(combination)
    if np.abs(combination - whole).max() > SAME:
        return 0
    determinant = abs(round(float(np.linalg.det(whole))))
    return determinant if determinant <= MOST_FOLD else 0


def relation(first: np.ndarray, second: np.ndarray) -> str:
    """How two lattices are related in their vectors, as they lie: "" when they are not.

    Parameters
    ----------
    first, second : (3, 3) float64, 1/angstrom
        Matrices A.

    Returns
    -------
    str
        "same", "supercell" (the first has a cell of several of the second) or "subcell".
    """
    one, two = reduced_basis(first), reduced_basis(second)
    if fold := _fold(one @ second):
        return "same" if fold == 1 else "supercell"
    return "subcell" if _fold(two @ first) > 1 else ""


def is_known(A: np.ndarray, other: np.ndarray, separation_deg: float) -> bool:
    """Whether a lattice is another one, a part or a multiple of it, or within an angle of it.

    Two crystals that are split lie nearer together than the vectors of any candidate are known: the angle decides.

    Parameters
    ----------
    A, other : (3, 3) float64, 1/angstrom
    separation_deg : float
        Orientations of one cell that are farther apart are two lattices.
    """
    if relation(A, other) in ("supercell", "subcell"):
        return True
    return misorientation_deg(np.linalg.inv(other), np.linalg.inv(A)) < max(separation_deg, LEAST_SEPARATION_DEG)
