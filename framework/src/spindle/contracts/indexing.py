"""Contract of the ``indexing`` slot: the crystal lattice from spots.

Chosen by ``indexing.method``; entry-point group ``spindle.indexing``. There are two kinds of methods, and a plugin implements the hook of
its kind. One finds vectors of the lattice from reciprocal lattice points, and the program makes cells of triples of them; the other sees
the spots and the geometry and finds whole crystals. Either way the program indexes and refines the candidates and ranks them, and asks
again for each further lattice with the spots that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spindle.errors import UserError

from . import hookspec
from .checking import Checks, Fault, array, finite, instance, integer, items, number

if TYPE_CHECKING:
    from spindle.contracts.executor import Executor
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

__all__ = ["BasisVectors", "CrystalCandidate", "IndexingError", "IndexingSpec", "KnownLattice"]


class IndexingError(UserError):
    """Spots that cannot be indexed; says why and what to try."""


@dataclass(frozen=True, slots=True)
class BasisVectors:
    """Vectors that could be edges of the crystal's cell.

    Attributes
    ----------
    vectors : (m, 3) float64, angstrom
        In the crystal's frame at zero rotation angle, most trustworthy first; not in opposite pairs.
    weights : (m,) float64
        How much speaks for each; comparable within one call only.
    d_min : float, angstrom
        Resolution limit of the points that were used.
    n_points : int
        How many points were used.
    """

    vectors: np.ndarray
    weights: np.ndarray
    d_min: float
    n_points: int


@dataclass(frozen=True, slots=True)
class KnownLattice:
    """What the user knows of the crystal.

    Attributes
    ----------
    space_group : str or None
        Hall symbol; None where only the cell is known.
    cell : (6,) float64 or None, angstrom and degrees
        In the setting of the space group.
    reduced_cell : (6,) float64 or None, angstrom and degrees
        Its Niggli-reduced primitive cell.
    """

    space_group: str | None
    cell: np.ndarray | None
    reduced_cell: np.ndarray | None


@dataclass(frozen=True, slots=True)
class CrystalCandidate:
    """A crystal that could have made the spots.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
        Setting matrix of any basis of the primitive lattice: columns a*, b*, c* at zero rotation angle, as
        ``spindle.models.Crystal.A``.
    weight : float
        How much speaks for it; comparable within one call only.
    d_min : float or None, angstrom
        Resolution of the spots that it was found with; None for all.
    """

    A: np.ndarray
    weight: float
    d_min: float | None = None


def check_crystals(arguments: dict[str, Any], result: Any) -> list[CrystalCandidate]:
    """Refuse crystals whose axes are no numbers or lie in a plane."""
    for i, candidate in enumerate(items(result, CrystalCandidate, "the result")):
        matrix = array(candidate.A, (3, 3), np.float64, f"A of the result[{i}]")
        finite(matrix, f"A of the result[{i}]")
        lengths = np.linalg.norm(matrix, axis=0)
        if abs(np.linalg.det(matrix)) <= 1e-6 * np.prod(lengths):
            raise Fault(f"A of the result[{i}] has axes in a plane; columns a*, b*, c* expected")
        number(candidate.weight, f"weight of the result[{i}]")
        if candidate.d_min is not None:
            number(candidate.d_min, f"d_min of the result[{i}]", least=0.0)
    return list(result)


def check_vectors(arguments: dict[str, Any], result: Any) -> BasisVectors:
    """Refuse vectors that are none, and weights that do not belong to them."""
    found: BasisVectors = instance(result, BasisVectors, "the result")
    finite(array(found.vectors, (None, 3), np.float64, "vectors"), "vectors")
    finite(array(found.weights, (len(found.vectors),), np.float64, "weights"), "weights")
    number(found.d_min, "d_min", least=0.0)
    integer(found.n_points, "n_points")
    return found


class IndexingSpec:
    """Hooks of the ``indexing`` slot; a plugin implements one of them."""

    checks: ClassVar[Checks] = {"find_basis_vectors": check_vectors, "find_crystals": check_crystals}
    optional: ClassVar[frozenset[str]] = frozenset({"find_basis_vectors", "find_crystals"})

    @hookspec(firstresult=True)
    def find_basis_vectors(  # type: ignore[empty-body]
        self,
        rlp: np.ndarray,
        min_cell: float,
        max_cell: float,
        target_cell: np.ndarray | None,
        executor: Executor,
    ) -> BasisVectors:
        """Find vectors of the direct lattice.

        Parameters
        ----------
        rlp : (n, 3) float64, 1/angstrom
            Reciprocal lattice points of the spots, turned back to zero rotation angle. There may be several lattices,
            noise, and few points.
        min_cell, max_cell : float, angstrom
            Shortest and longest edge of a primitive cell to be expected.
        target_cell : (6,) float64 or None
            Primitive reduced cell, angstrom and degrees, where the user knows it.
        executor : Executor
            Spreads work over ``executor.n_workers`` threads.

        Returns
        -------
        BasisVectors
            May be empty. The same input gives the same answer for any number of workers.

        Raises
        ------
        IndexingError
            If the method cannot work with this input.
        """

    @hookspec(firstresult=True)
    def find_crystals(  # type: ignore[empty-body]
        self, sweeps: Experiments, spots: ReflectionTable, known: KnownLattice | None, executor: Executor
    ) -> list[CrystalCandidate]:
        """Find crystals that could have made the spots.

        Parameters
        ----------
        sweeps : Experiments
            Sweeps and stills without crystals, which have their crystals in common.
        spots : ReflectionTable
            Spots that belong to no lattice yet: xyzobs.px.value, xyzobs.mm.value, panel, s1, rlp, entering, and imageset_id, the
            position in `sweeps`. There may be several lattices, noise, and few spots.
        known : KnownLattice or None
            What the user knows of the crystal; candidates that do not agree with it are dropped.
        executor : Executor
            Spreads work over ``executor.n_workers`` workers.

        Returns
        -------
        list of CrystalCandidate
            Most trustworthy first; may be empty, and may hold several lattices. The same input gives the same answer for any number
            of workers.

        Raises
        ------
        IndexingError
            If the method cannot work with this input.
        """
