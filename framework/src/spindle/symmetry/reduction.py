"""Niggli reduction of cells and bases."""

from __future__ import annotations

import gemmi
import numpy as np
import numpy.typing as npt

from spindle.errors import ModelError, ShapeError


def orthogonalisation(cell: npt.ArrayLike) -> np.ndarray:
    """(3, 3) matrix O of a cell (angstrom, degrees), a along x and b in the xy plane; its columns are a, b, c."""
    return np.array(gemmi.UnitCell(*np.asarray(cell, dtype=float).tolist()).orth.mat.tolist(), dtype=float)


def cell_parameters(basis: npt.ArrayLike) -> np.ndarray:
    """Cells of bases.

    Parameters
    ----------
    basis : (..., 3, 3) float64, angstrom
        Rows a, b, c.

    Returns
    -------
    (..., 6) float64
        a, b, c in angstrom; alpha, beta, gamma in degrees.
    """
    rows = np.asarray(basis, dtype=float)
    lengths = np.linalg.norm(rows, axis=-1)
    unit = rows / lengths[..., None]
    cosines = np.stack(
        [np.sum(unit[..., i, :] * unit[..., j, :], axis=-1) for i, j in ((1, 2), (0, 2), (0, 1))], axis=-1
    )
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))], axis=-1)


def niggli_reduce(bases: npt.ArrayLike, relative_epsilon: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """Niggli-reduced bases and the integer matrices that lead to them.

    Parameters
    ----------
    bases : (3, 3) or (n, 3, 3) float64, angstrom
        Rows a, b, c. Right-handed bases stay right-handed.
    relative_epsilon
        Tolerance on metric tensor elements, relative to the cube root of the volume.

    Returns
    -------
    reduced : like bases
    transforms : same shape, int64
        ``reduced = transforms @ bases``; Miller indices (columns) transform alike. Determinant 1.

    Raises
    ------
    ModelError
        If a cell is degenerate, so that the steps do not end.

    Notes
    -----
    Krivy & Gruber (1976), Acta Cryst. A32, 297; tolerances as Grosse-Kunstleve et al. (2004), Acta Cryst. A60, 1.
    """
    from .reduction_kernels import reduce_bases

    rows = np.array(bases, dtype=np.float64, order="C")
    if rows.shape[-2:] != (3, 3) or rows.ndim not in (2, 3):
        raise ShapeError(f"Niggli reduction: expected (3, 3) or (n, 3, 3), got {rows.shape}")
    stack = rows.reshape(-1, 3, 3)
    transforms = np.empty(stack.shape, dtype=np.int64)
    reduce_bases(stack, float(relative_epsilon), transforms)
    flat = np.abs(np.linalg.det(stack)) < 1e-6 * np.prod(np.linalg.norm(stack, axis=2), axis=1)
    failed = flat | ~transforms.any(axis=(1, 2))
    if failed.any():
        worst = cell_parameters(stack[np.argmax(failed)])
        raise ModelError(f"Niggli reduction: cell {np.round(worst, 4).tolist()} is degenerate")
    return (transforms @ stack).reshape(rows.shape), transforms.reshape(rows.shape)


def niggli_cell(cell: npt.ArrayLike, relative_epsilon: float = 1e-5) -> np.ndarray:
    """Niggli cell of a primitive cell, (6,) angstrom and degrees."""
    reduced, _ = niggli_reduce(orthogonalisation(cell).T, relative_epsilon)
    return cell_parameters(reduced)
