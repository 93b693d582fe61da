"""The distance between two lattices, given by unit cells."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from spindle.models import Crystal
from spindle.symmetry import niggli_reduce, orthogonalisation, primitive_operator

from .kernels import equivalents, nearest

__all__ = ["cell_distances", "metrics_of_cells", "primitive_cells"]

# Other bases of a reduced cell count while the sum of their squared edges is at most so much larger.
SLACK = 0.2


def primitive_cells(crystals: Sequence[Crystal]) -> np.ndarray:
    """(n, 6) float64, angstrom and degrees: cells of crystals without centring."""
    operators = {c.hall: primitive_operator(c.space_group) for c in crystals}
    return np.array([operators[c.hall].apply_to_cell(c.cell) for c in crystals]).reshape(-1, 6)


def metrics_of_cells(cells: npt.ArrayLike) -> np.ndarray:
    """Metrics of reduced cells, a point in the space G6 of Andrews & Bernstein.

    Parameters
    ----------
    cells : (n, 6) float64, angstrom and degrees
        Primitive.

    Returns
    -------
    (n, 6) float64, angstrom^2
        a.a, b.b, c.c, 2 b.c, 2 a.c, 2 a.b of the Niggli-reduced basis.
    """
    cells = np.asarray(cells, dtype=np.float64).reshape(-1, 6)
    if not len(cells):
        return np.empty((0, 6))
    bases = np.stack([orthogonalisation(cell).T for cell in cells])
    reduced = niggli_reduce(bases)[0]
    tensor = reduced @ np.swapaxes(reduced, 1, 2)
    pairs = [(0, 0, 1), (1, 1, 1), (2, 2, 1), (1, 2, 2), (0, 2, 2), (0, 1, 2)]
    return np.stack([factor * tensor[:, i, j] for i, j, factor in pairs], axis=1)


def cell_distances(cells: npt.ArrayLike) -> np.ndarray:
    """How far each cell is from each other one, whichever basis describes it.

    Parameters
    ----------
    cells : (n, 6) float64, angstrom and degrees
        Primitive.

    Returns
    -------
    (n, n) float64, angstrom^2
        Symmetric.

    Notes
    -----
    The smallest Euclidean distance in G6 between the reduced cell of one lattice and any basis of the other with integral
    coefficients up to 1 in size. That is what Andrews & Bernstein (2014), J. Appl. Cryst. 47, 346, approach by reflecting
    points at the boundaries of the reduced cells; of nearly equal lattices the numbers are the same.
    """
    metrics = metrics_of_cells(cells)
    n = len(metrics)
    matrices = _changes_of_metric()
    parts, counts = [], []
    room = np.empty((len(matrices), 6))
    for metric in metrics:
        count = equivalents(metric, matrices, (1.0 + SLACK) * metric[:3].sum(), room)
        parts.append(np.unique(np.round(room[:count], 9), axis=0))
        counts.append(len(parts[-1]))
    if not n:
        return np.empty((0, 0))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    out = np.empty((n, n))
    nearest(np.concatenate(parts), offsets, metrics, 0, n, out)
    out = np.minimum(out, out.T)
    np.fill_diagonal(out, 0.0)
    return out


@lru_cache(maxsize=1)
def _changes_of_metric() -> np.ndarray:
    """(m, 6, 6) float64: what each change of basis with coefficients -1, 0, 1 does to a metric, one for each pair of M and -M."""
    rows = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    bases = np.array(list(itertools.product(rows, repeat=3)))
    bases = bases[np.rint(np.linalg.det(bases)) == 1]
    # G' = M G M^T, with the products twice in the metric
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    out = np.empty((len(bases), 6, 6))
    for row, (i, j) in enumerate(pairs):
        for column, (k, m) in enumerate(pairs):
            term = bases[:, i, k] * bases[:, j, m]
            if k != m:
                term = (term + bases[:, i, m] * bases[:, j, k]) / 2
            out[:, row, column] = term * (1 if i == j else 2)
    return out
