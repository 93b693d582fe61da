"""Larger and smaller cells of a refined lattice: satellites between its points, points that no spots are on, harmonics of the beam.

A superlattice of p times the volume has all points of the lattice, and p - 1 between each two of them. Spots there belong to the crystal when
they lie on these points as no spots that lie anywhere do, and are not of a harmonic of the beam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.symmetry import niggli_reduce
from spindle.table import ReflectionTable

from .evidence import CHANCE, MOST_SHARED, Evidence, share
from .harmonics import MORE_THAN_CHANCE, is_harmonic, without_harmonic
from .kernels import membership
from .known_symmetry import KnownSymmetry
from .non_primitive import conditions, smaller_cell
from .several import matrix_of
from .spot_frames import SpotFrames, spot_frames
from .superlattices import MOST_STEPS, sublattice_matrices

#: Steps in volume; larger ones are made of these.
FOLDS = (2, 3, 5)
#: Satellites are fewer than this are none; and what each must say, beside what a spot of the lattice itself says.
FEWEST, LEAST_PER_SPOT, LEAST_PART = 10, 1.5, 0.4
#: Satellites of which more than this part meet a condition of their own are spots of a twin, whose points are some of theirs.
OF_A_TWIN = 0.85
#: Points are left out for whose spots less speaks than this, of lattices of so many spots, most of which lie on the others.
NEXT_TO_NOTHING, FEWEST_OF_ALL, LEAST_SHARE = 6.0, 50, 0.6
#: A candidate with fewer indexed spots says nothing.
MIN_INDEXED = 5


@dataclass(frozen=True)
class Multiple:
    """A lattice with the cell that the spots speak for.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
    harmonic : int
        Part of the wavelength whose spots lie between its points: 2 for a half; 0 for none.
    n_spots : float
        Those on points that were added or taken away.
    fold : float
        Volume of the cell over that before.
    """

    A: np.ndarray
    harmonic: int = 0
    n_spots: float = 0.0
    fold: float = 1.0

    def text(self, number: int) -> str:
        """What is told of lattice `number`; "" where the cell stays."""
        if self.fold > 1.5:
            return f"{self.n_spots:.0f} spots between the points of lattice {number} are satellites: its cell is {self.fold:.0f} times as large"
        if self.fold < 0.7:
            if self.harmonic:
                return f"{self.n_spots:.0f} spots of lattice {number} are of a harmonic of the beam: its cell is {1 / self.fold:.0f} times smaller"
            return f"Next to no spots are on points of lattice {number} that a cell of {1 / self.fold:.0f} times less volume lacks: it is taken"
        return ""


def smallest_cell(
    basis: np.ndarray, spots: ReflectionTable, assign: Callable[[ReflectionTable, np.ndarray], Any], threshold: float
) -> tuple[np.ndarray, int, int]:
    """The cell that indices of a candidate tell, of which it is a multiple.

    Parameters
    ----------
    basis : (3, 3) float64, angstrom
        Rows of a reduced basis.
    spots : ReflectionTable
    assign : callable
        Gives spots their indices for a matrix A.
    threshold : float
        Part of the indices that must meet a condition.

    Returns
    -------
    basis : (3, 3) float64, angstrom
    harmonic : int
        Of the beam, to which the others belong; 0 for none.
    n_indexed : int
        Spots of the cell before the last step.
    """
    harmonic, n_indexed = 0, 0
    while abs(np.linalg.det(basis)) >= 1.0:
        indexed = assign(spots, np.linalg.inv(basis))
        n_indexed = int(indexed.n_indexed)
        if n_indexed < MIN_INDEXED:
            break
        own = indexed.lattice >= 0
        smaller = smaller_cell(basis, indexed.hkl[own], threshold)
        if smaller is None and "intensity.sum.value" in spots:
            d_star = np.linalg.norm(spots["rlp"][own], axis=1)
            found = without_harmonic(basis, indexed.hkl[own], spots["intensity.sum.value"][own], d_star, harmonic)
            smaller, harmonic = (None, harmonic) if found is None else found
        if smaller is None:
            break
        basis = smaller
    return basis, harmonic, n_indexed


@lru_cache(maxsize=8)
def _condition(fold: int) -> tuple[np.ndarray, ...]:
    """Of each of `sublattice_matrices`: the vector whose product with indices of points of the lattice itself is 0 modulo `fold`."""
    grid = np.array(np.meshgrid(*[range(fold)] * 3, indexing="ij")).reshape(3, -1).T[1:]
    return tuple(grid[np.all((grid @ m) % fold == 0, axis=1)][0] for m in sublattice_matrices(fold).astype(int))


@dataclass(frozen=True)
class _Between:
    """What speaks for spots on points of a superlattice that are not those of the lattice."""

    gain: float
    n_spots: float
    hkl: np.ndarray
    posterior: np.ndarray


def _between(
    frames: SpotFrames, A: np.ndarray, is_between: Callable[[np.ndarray], np.ndarray], part: float, lattice: Evidence
) -> _Between:
    n = len(frames)
    hkl, shift, ratio, sharp = np.zeros((n, 3), np.int32), np.zeros((n, 3)), np.zeros(n), np.zeros(n)
    membership(
        frames.rlp, frames.to_pixels, frames.cell, A, np.linalg.inv(A), lattice.offset, lattice.width, 0.5, np.inf, hkl, shift, ratio, sharp,
    )  # fmt: skip
    ratio = np.where(is_between(hkl.astype(np.int64)), ratio / part, 0.0)
    weight = 0.1
    for _ in range(30):
        posterior = weight * ratio / (1 - weight + weight * ratio)
        weight = float(np.clip(posterior.mean(), 1e-6, 0.999)) if n else 1e-6
    return _Between(float(np.log(1 - weight + weight * ratio).sum()), float(posterior.sum()), hkl, posterior)


def with_satellites(
    frames: SpotFrames, free: np.ndarray, lattice: Evidence, own: np.ndarray, intensity: np.ndarray | None,
    is_allowed: Callable[[np.ndarray], bool],
) -> Multiple | None:  # fmt: skip
    """The superlattice on whose further points spots lie, or the lattice whose spots between are of a harmonic; None where there are none.

    Parameters
    ----------
    frames : SpotFrames
    free : (n,) bool
        Spots that belong to no lattice.
    lattice : Evidence
        Refined.
    own : (n,) bool
        Spots of the lattice.
    intensity : (n,) float64 or None
        Of the spots; without them a harmonic is not told from a superstructure.
    is_allowed : callable
        Whether a basis is compatible with what is known.
    """
    rest = frames.select(np.flatnonzero(free))
    A, n_spots = lattice.A, 0.0
    for _ in range(MOST_STEPS):
        basis = np.linalg.inv(A)
        best: tuple[float, np.ndarray, _Between, int] | None = None
        for fold in FOLDS:
            for matrix, vector in zip(sublattice_matrices(fold), _condition(fold), strict=True):
                larger = np.linalg.inv(matrix @ basis)
                found = _between(
                    rest, larger, lambda h, v=vector, p=fold: (h @ v) % p != 0, (fold - 1) / fold, lattice  # type: ignore[misc]
                )  # fmt: skip
                if (best is None or found.gain > best[0]) and is_allowed(matrix @ basis):
                    best = (found.gain, larger, found, fold)
        if best is None or not _convinces(best[2], lattice):
            break
        _, larger, found, fold = best
        if intensity is not None and _is_of_harmonic(frames, free, lattice, own, intensity, A, fold):
            return Multiple(A, fold, found.n_spots, abs(np.linalg.det(lattice.A) / np.linalg.det(A)))
        if _has_own_condition(found.hkl[found.posterior > 0.5]):
            break
        rest = rest.select(np.flatnonzero(found.posterior <= 0.5))
        A, n_spots = larger, n_spots + found.n_spots
    return None if A is lattice.A else Multiple(A, 0, n_spots, abs(np.linalg.det(lattice.A) / np.linalg.det(A)))


def _convinces(found: _Between, lattice: Evidence) -> bool:
    least = max(LEAST_PER_SPOT, LEAST_PART * lattice.per_spot)
    return found.n_spots >= FEWEST and found.gain > CHANCE and found.gain > least * found.n_spots


def _is_of_harmonic(
    frames: SpotFrames,
    free: np.ndarray,
    lattice: Evidence,
    own: np.ndarray,
    intensity: np.ndarray,
    A: np.ndarray,
    fold: int,
) -> bool:
    rows = np.flatnonzero(free)
    found = _between(
        frames.select(rows), A / fold, lambda h: np.any(h % fold != 0, axis=1), 1 - 1 / fold**3, lattice
    )  # fmt: skip
    taken = found.posterior > 0.5
    hkl = np.rint(frames.rlp[own] @ np.linalg.inv(A).T).astype(np.int64)
    d_star = np.linalg.norm(frames.rlp[rows[taken]], axis=1)
    return is_harmonic(found.hkl[taken], intensity[rows[taken]], hkl, intensity[own], d_star)


def _has_own_condition(hkl: np.ndarray) -> bool:
    """Whether satellites meet one more condition than those of a superlattice do."""
    for modulus in (2, 3):
        grid = np.array(np.meshgrid(*[range(modulus)] * 3, indexing="ij")).reshape(3, -1).T[1:]
        share = np.mean((hkl @ grid.T) % modulus == 0, axis=0)
        if share.max(initial=0.0) > OF_A_TWIN:
            return True
    return False


def without_empty_points(frames: SpotFrames, lattice: Evidence, own: np.ndarray) -> Multiple | None:
    """The lattice without points on which no more spots lie than by chance; None where spots lie on all.

    Parameters
    ----------
    frames : SpotFrames
    lattice : Evidence
        Refined.
    own : (n,) bool
        Spots of the lattice.
    """
    if lattice.n_spots < FEWEST_OF_ALL or np.count_nonzero(own) < FEWEST_OF_ALL:
        return None
    hkl = np.rint(frames.rlp[own] @ np.linalg.inv(lattice.A).T).astype(np.int64)
    for vector, modulus, matrix in conditions():
        along = hkl @ vector
        # spots in one plane alone tell nothing about the distance of the planes
        if not along.any() or np.mean(along % modulus == 0) < max(LEAST_SHARE, 1 / modulus + MORE_THAN_CHANCE):
            continue
        part = 1 - 1 / modulus
        found = _between(frames, lattice.A, lambda h, v=vector, p=modulus: (h @ v) % p != 0, part, lattice)  # type: ignore[misc]
        if found.gain < NEXT_TO_NOTHING:
            smaller = replace(lattice, A=lattice.A @ matrix.T)
            more = without_empty_points(frames, smaller, own)
            return (
                Multiple(smaller.A, 0, found.n_spots, 1 / modulus)
                if more is None
                else replace(more, fold=more.fold / modulus)
            )
    return None


def _without_points_of_harmonics(
    frames: SpotFrames, lattice: Evidence, own: np.ndarray, intensity: np.ndarray, told: int
) -> Multiple | None:
    """The lattice without points whose spots are of a harmonic of the beam (`told`: by others); None where there are none."""
    basis, harmonic, left = np.linalg.inv(lattice.A), 0, np.flatnonzero(own)
    while True:
        hkl = np.rint(frames.rlp[left] @ basis.T).astype(np.int64)
        found = without_harmonic(
            basis, hkl, intensity[left], np.linalg.norm(frames.rlp[left], axis=1), harmonic or told
        )
        if found is None:
            break
        basis, harmonic = found
        distance = frames.rlp[left] @ basis.T
        left = left[np.abs(distance - np.rint(distance)).max(axis=1) < 0.5 / harmonic]
    if not harmonic:
        return None
    fold = abs(np.linalg.det(basis @ lattice.A))
    return Multiple(np.linalg.inv(basis), harmonic, float(np.count_nonzero(own) - len(left)), fold)


def right_cell(
    sweeps: Experiments, table: ReflectionTable, crystals: Sequence[Crystal], harmonic: int, known: KnownSymmetry | None, params: Any
) -> Multiple | None:  # fmt: skip
    """Another cell of the last lattice, or a harmonic of the beam, where the spots speak for it.

    Parameters
    ----------
    sweeps : Experiments
    table : ReflectionTable
        Prepared spots.
    crystals : sequence of Crystal
        Refined.
    harmonic : int
        Of the beam, known already; 0 for none.
    known : KnownSymmetry or None
    params : Params
        The scope ``indexing``.
    """
    if not params.basis_vector_combinations.sys_absent_threshold or (known is not None and known.cell is not None):
        return None
    if sweeps[0].is_still or params.refinement_protocol.mode != "refine_shells":
        return None

    def is_allowed(basis: np.ndarray) -> bool:
        reduced = niggli_reduce(basis * np.sign(np.linalg.det(basis)))[0]
        if params.max_cell not in (Auto, None) and np.linalg.norm(reduced, axis=1).max() > params.max_cell:
            return False
        volume = abs(np.linalg.det(reduced))
        return volume >= (params.min_cell_volume or 0.0) and (known is None or known.constrained(reduced) is not None)

    table = table.select(np.sort(np.random.default_rng(42).permutation(len(table))[:MOST_SHARED]))
    frames, lattices = spot_frames(sweeps, table), [matrix_of(c) for c in crystals]
    shares = share(frames, [*lattices, *([A / harmonic for A in lattices] if harmonic else [])])
    number = len(lattices) - 1
    lattice, own = shares.lattices[number], shares.posterior[:, number] > 0.5
    intensity = table.get("intensity.sum.value")
    smaller = without_empty_points(frames, lattice, own)
    if smaller is None and intensity is not None:
        smaller = _without_points_of_harmonics(frames, lattice, own, intensity, harmonic)
    if smaller is not None:
        return smaller if is_allowed(np.linalg.inv(smaller.A)) else None
    free = shares.posterior.sum(axis=1) < 0.5
    if np.count_nonzero(free) < FEWEST:
        return None
    return with_satellites(frames, free, lattice, own, intensity, is_allowed)
