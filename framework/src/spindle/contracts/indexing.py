"""Contract of the ``indexing`` slot: vectors of the crystal lattice from reciprocal lattice points.

Chosen by ``indexing.method``; entry-point group ``spindle.indexing``. One call per lattice that is looked for; the
program makes cells of triples of the vectors, indexes and ranks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spindle.errors import UserError

from . import hookspec
from .checking import Checks, array, finite, instance, integer, number

if TYPE_CHECKING:
    from spindle.contracts.executor import Executor

__all__ = ["BasisVectors", "IndexingError", "IndexingSpec"]


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


def check_vectors(arguments: dict[str, Any], result: Any) -> BasisVectors:
    """Refuse vectors that are none, and weights that do not belong to them."""
    found: BasisVectors = instance(result, BasisVectors, "the result")
    finite(array(found.vectors, (None, 3), np.float64, "vectors"), "vectors")
    finite(array(found.weights, (len(found.vectors),), np.float64, "weights"), "weights")
    number(found.d_min, "d_min", least=0.0)
    integer(found.n_points, "n_points")
    return found


class IndexingSpec:
    """Hooks of the ``indexing`` slot."""

    checks: ClassVar[Checks] = {"find_basis_vectors": check_vectors}

    @hookspec(firstresult=True)
    def find_basis_vectors(
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
