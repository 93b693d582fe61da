"""Metric tensors under symmetry: averaging over a group and constraining a crystal to its space group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .covariance import carry_covariance, carry_recalculated
from .space_groups import SpaceGroupLike, rotations, space_group

CrystalT = TypeVar("CrystalT")


def average_metric(metric: np.ndarray, group: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Mean of R^T G R over the rotations of a group: the nearest metric that has the symmetry.

    Parameters
    ----------
    metric : (3, 3) float64, angstrom squared
        G = basis basis^T, basis vectors as rows.
    group : (n, 3, 3) int
        Rotations of coordinates (columns) in that basis.

    Returns
    -------
    (3, 3) float64
    """
    r = np.asarray(group, dtype=float)
    return np.asarray(np.mean(np.swapaxes(r, 1, 2) @ metric @ r, axis=0))


def constrain_A(A: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """The orientation matrix nearest to A whose cell has the metric symmetry of the space group.

    Parameters
    ----------
    A : (..., 3, 3) float64, 1/angstrom
        Orientation matrices (scan points may be stacked).
    group
        Space group in the setting of A.

    Returns
    -------
    (..., 3, 3) float64

    Notes
    -----
    The metric is averaged over the point group; the rotation is the polar factor that leaves the smallest change.
    """
    given = np.asarray(A, dtype=float)
    turn = rotations(group).astype(float)
    basis = np.linalg.inv(given)
    metric = basis @ np.swapaxes(basis, -1, -2)
    averaged = np.mean(np.swapaxes(turn, 1, 2) @ metric[..., None, :, :] @ turn, axis=-3)
    lower = np.linalg.cholesky(averaged)  # rows are basis vectors with the averaged metric
    B = np.linalg.inv(lower)
    left, _, right = np.linalg.svd(given @ np.linalg.inv(B))
    hand = np.sign(np.linalg.det(left @ right))
    left = left * np.concatenate([np.ones((*hand.shape, 2)), hand[..., None]], axis=-1)[..., None, :]
    return np.asarray(left @ right @ B)


def constrain_crystal(crystal: CrystalT, group: SpaceGroupLike) -> CrystalT:
    """The crystal in a space group, its cell (refined and recalculated), scan points and covariance symmetrised (basis and setting stay)."""
    model: Any = crystal
    named = space_group(group)
    scan = None if model.A_at_scan_points is None else constrain_A(model.A_at_scan_points, named)
    constrained = model.with_A(constrain_A(model.A, named), scan)
    changed = carry_covariance(model, constrained, np.eye(3), rotations(named))
    return carry_recalculated(model, changed, np.eye(3), rotations(named)).with_space_group(named)  # type: ignore[no-any-return]


def symmetrise_cell(cell: npt.ArrayLike, group: SpaceGroupLike) -> np.ndarray:
    """Cell parameters averaged over the point group of the space group, (6,) angstrom and degrees."""
    from .reduction import cell_parameters, orthogonalisation

    return cell_parameters(np.linalg.inv(constrain_A(np.linalg.inv(orthogonalisation(cell).T), group)))
