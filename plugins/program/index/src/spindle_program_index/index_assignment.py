"""Which lattice point each spot belongs to, by the method that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .assignment import Assignment, assign_simple
from .local_assignment import assign_local


def assign(
    rlp: np.ndarray, phi: np.ndarray, sweep: np.ndarray, lattices: Sequence[np.ndarray], params: Any
) -> Assignment:
    """Give spots their indices by the chosen method.

    Parameters
    ----------
    rlp : (n, 3) float64, 1/angstrom
    phi : (n,) float64, radians
    sweep : (n,) int
        Spots of different sweeps may share an index.
    lattices : sequence of (3, 3)
        Matrices A.
    params : Params
        The scope ``indexing.index_assignment``.

    Returns
    -------
    Assignment
    """
    if len(rlp) == 0:
        return Assignment(np.zeros((0, 3), np.int32), np.full(0, -1, np.int32))
    if params.method == "local":
        return assign_local(rlp, phi, sweep, lattices, params.local)
    return assign_simple(rlp, phi, sweep, lattices, params.simple.hkl_tolerance)
