"""The reciprocal metric of a cell: its independent elements in a space group, and the cell that follows from them.

A metric is given by its six elements 11, 22, 33, 12, 13, 23 of G* = B^T B in 1/angstrom^2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spindle.models import cell_from_real_space, space_group_from_symbol

__all__ = [
    "CELL_NAMES",
    "METRIC_INDICES",
    "cell_and_slope",
    "cell_deviations",
    "index_products",
    "metric_constraints",
    "metric_elements",
]

METRIC_INDICES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
CELL_NAMES = ("G11", "G22", "G33", "G12", "G13", "G23")
_ROWS = np.array([i for i, _ in METRIC_INDICES])
_COLUMNS = np.array([j for _, j in METRIC_INDICES])


@lru_cache(maxsize=64)
def metric_constraints(hall: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """How the six elements of a reciprocal metric follow from its independent ones in a space group.

    Parameters
    ----------
    hall : str
        Hall symbol.

    Returns
    -------
    E : (6, k) float64
        The elements 11, 22, 33, 12, 13, 23 are ``E @ independent``.
    chosen : tuple of int
        Which elements are the independent ones.

    Notes
    -----
    A metric that the rotations W leave alone, W G W^T = G, is one that the mean over the group does not change. The
    row-echelon form of that projector gives the independent elements.

    """
    operations = (
        np.array([op.rot for op in space_group_from_symbol(hall).operations().sym_ops], dtype=np.float64) / 24.0
    )
    basis = np.zeros((6, 3, 3))
    for k, (i, j) in enumerate(METRIC_INDICES):
        basis[k, i, j] = basis[k, j, i] = 1.0
    moved = np.einsum("gij,kjl,gml->kim", operations, basis, operations) / len(operations)
    rows = moved[:, _ROWS, _COLUMNS]  # row k: the invariant metric made from basis element k
    chosen: list[int] = []
    rank = 0
    for column in range(6):
        pivot = rank + int(np.argmax(np.abs(rows[rank:, column]))) if rank < 6 else rank
        if rank == 6 or abs(rows[pivot, column]) < 1e-9:
            continue
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] /= rows[rank, column]
        others = np.arange(6) != rank
        rows[others] -= np.outer(rows[others, column], rows[rank])
        chosen.append(column)
        rank += 1
    E = np.ascontiguousarray(rows[:rank].T)
    E.setflags(write=False)
    return E, tuple(chosen)


def metric_elements(A: np.ndarray) -> np.ndarray:
    """(6,) float64, 1/angstrom^2: elements of the metric of an orientation matrix A (3, 3)."""
    return np.asarray((A.T @ A)[_ROWS, _COLUMNS])


def index_products(hkl: np.ndarray) -> np.ndarray:
    """(n, 6) float64: what the elements of a metric are multiplied by and summed for |A h|^2 of indices (n, 3)."""
    h = np.asarray(hkl, dtype=np.float64)
    return np.asarray(h[:, _ROWS] * h[:, _COLUMNS] * np.where(_ROWS == _COLUMNS, 1.0, 2.0))


def cell_and_slope(metric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell and volume of a metric, and how they change with it.

    Parameters
    ----------
    metric : (6,) float64, 1/angstrom^2

    Returns
    -------
    values : (7,) float64
        a, b, c (angstrom), alpha, beta, gamma (degrees), volume (cubic angstrom).
    slope : (7, 6) float64
        Derivatives by the elements of the metric.

    Raises
    ------
    ValueError
        If it is the metric of no cell (not positive definite).

    Notes
    -----
    With G = G*^-1, dG = -G dG* G and dV/V = -tr(dG* G) / 2.
    """
    reciprocal = np.zeros((3, 3))
    reciprocal[_ROWS, _COLUMNS] = reciprocal[_COLUMNS, _ROWS] = metric
    if not np.isfinite(reciprocal).all() or np.linalg.eigvalsh(reciprocal)[0] <= 0:
        raise ValueError("the reciprocal metric is that of no cell (not positive definite)")
    G = np.linalg.inv(reciprocal)
    volume = float(np.sqrt(np.linalg.det(G)))
    values = np.append(cell_from_real_space(np.linalg.cholesky(G)), volume)
    d_star = np.zeros((6, 3, 3))
    d_star[np.arange(6), _ROWS, _COLUMNS] = d_star[np.arange(6), _COLUMNS, _ROWS] = 1.0
    dG = -G @ d_star @ G
    lengths = values[:3]
    d_lengths = 0.5 * dG[:, [0, 1, 2], [0, 1, 2]] / lengths
    slope = np.zeros((7, 6))
    slope[:3] = d_lengths.T
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1)), 3):
        cosine = G[i, j] / (lengths[i] * lengths[j])
        d_cosine = dG[:, i, j] / (lengths[i] * lengths[j]) - cosine * (
            d_lengths[:, i] / lengths[i] + d_lengths[:, j] / lengths[j]
        )
        slope[k] = np.rad2deg(-d_cosine / np.sqrt(max(1.0 - cosine * cosine, 1e-12)))
    slope[6] = -0.5 * volume * np.einsum("kij,ji->k", d_star, G)
    return values, slope


def cell_deviations(B: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(7,) standard deviations of cell (angstrom, degrees) and volume (cubic angstrom) from the covariance of B.

    Parameters
    ----------
    B : (3, 3) float64, 1/angstrom
    covariance : (9, 9) float64, 1/angstrom^2
        Of the elements of B, row after row.
    """
    _, slope = cell_and_slope(metric_elements(B))
    # dG* = dB^T B + B^T dB for each element of B
    dB = np.eye(9).reshape(9, 3, 3)
    change = np.swapaxes(dB, -1, -2) @ B
    change = change + np.swapaxes(change, -1, -2)
    jacobian = slope @ change[:, _ROWS, _COLUMNS].T
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian), 0.0))
