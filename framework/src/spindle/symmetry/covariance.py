"""The covariance of a crystal's cell, and its recalculated cell, in another basis and averaged over a point group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from .reduction import cell_parameters, orthogonalisation

CrystalT = TypeVar("CrystalT")
#: Steps of the numerical derivative of a cell, relative to the largest element of B: error ~ 1e-12.
STEP = 1e-6
#: Variances below this are rounding errors of angles that symmetry fixes (degrees squared).
SMALLEST_VARIANCE = 1e-14


def covariance_of_B(
    B: np.ndarray, covariance: np.ndarray, matrix: np.ndarray, rotations: np.ndarray | None = None
) -> np.ndarray:
    """Covariances of the elements of B after a change of basis, to first order.

    Parameters
    ----------
    B : (..., 3, 3) float64, 1/angstrom
        B^T B is the reciprocal metric.
    covariance : (..., 9, 9) float64
        Of the elements of B, row by row.
    matrix : (3, 3) float64
        M of `ChangeOfBasis`.
    rotations : (m, 3, 3) int, optional
        Point group, in the new basis, over which the new metric is averaged.

    Returns
    -------
    (..., 9, 9) float64
        Of the elements of the lower triangular B of the new basis.

    Notes
    -----
    G* = B^T B, dG* = dB^T B + B^T dB; in the new basis dG*' = M^-T dG* M^-1. B' is the triangular factor of G*':
    dB' = L B', where L is the lower triangle of B'^-T dG*' B'^-1 with half of its diagonal.
    """
    B = np.asarray(B, dtype=float)
    back = np.linalg.inv(matrix)
    unit = np.eye(9).reshape(9, 3, 3)
    half = np.swapaxes(B, -1, -2)[..., None, :, :] @ unit
    change = back.T @ (half + np.swapaxes(half, -1, -2)) @ back
    metric = back.T @ np.swapaxes(B, -1, -2) @ B @ back
    if rotations is not None:
        turn = np.asarray(rotations, dtype=float)
        direct = np.linalg.inv(metric)
        metric = np.linalg.inv(_averaged(direct, turn))
        direct = direct[..., None, :, :]
        change = metric[..., None, :, :] @ _averaged(direct @ change @ direct, turn) @ metric[..., None, :, :]
    new = _lower_factor(metric)[..., None, :, :]
    inverse = np.linalg.inv(new)
    slope = np.swapaxes(inverse, -1, -2) @ change @ inverse
    derivative = ((np.tril(slope, -1) + 0.5 * slope * np.eye(3)) @ new).reshape(*B.shape[:-2], 9, 9)
    return np.asarray(np.swapaxes(derivative, -1, -2) @ covariance @ derivative)


def _averaged(metric: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Mean of R^T G R over the rotations R."""
    return np.asarray(np.mean(np.swapaxes(turn, 1, 2) @ metric[..., None, :, :] @ turn, axis=-3))


def _lower_factor(metric: np.ndarray) -> np.ndarray:
    """Lower triangular B, positive on the diagonal, with B^T B = metric."""
    flipped = np.linalg.cholesky(metric[..., ::-1, ::-1])
    return np.asarray(np.swapaxes(flipped, -1, -2)[..., ::-1, ::-1])


def cell_deviations(B: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Standard deviations of a cell from the covariance of B.

    Parameters
    ----------
    B : (3, 3) float64, 1/angstrom
    covariance : (9, 9) float64

    Returns
    -------
    (6,) float64, angstrom and degrees
        0 where symmetry fixes a value.
    """
    step = STEP * float(np.abs(B).max())
    shifts = step * np.eye(9).reshape(9, 3, 3)
    # the rows of B^-1 are a, b, c
    above, below = cell_parameters(np.linalg.inv(B + shifts)), cell_parameters(np.linalg.inv(B - shifts))
    jacobian = ((above - below) / (2.0 * step)).T
    variances = np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian)
    return np.sqrt(np.where(variances > SMALLEST_VARIANCE, variances, 0.0))


def carry_covariance(old: CrystalT, new: CrystalT, matrix: np.ndarray, rotations: np.ndarray | None = None) -> CrystalT:
    """The new crystal with the covariances of the old one, changed as the basis was.

    Parameters
    ----------
    old, new : spindle.models.Crystal
    matrix, rotations
        As of `covariance_of_B`.

    Returns
    -------
    spindle.models.Crystal
        `new` with ``B_covariance``, that at scan points where the scan points are there still, and `cell_sd`; `new` as
        it is when the old one has none.
    """
    before: Any = old
    after: Any = new
    given = before.extra.get("B_covariance")
    at_points = before.extra.get("B_covariance_at_scan_points")
    extra = dict(after.extra)
    deviations = None
    if given is not None:
        one = covariance_of_B(before.B, np.asarray(given, dtype=float).reshape(9, 9), matrix, rotations)
        extra["B_covariance"] = one.reshape(-1).tolist()
        deviations = cell_deviations(after.B, one)
    if at_points is not None and after.A_at_scan_points is not None:
        points = np.asarray(at_points, dtype=float).reshape(-1, 9, 9)
        if len(points) == len(before.A_at_scan_points):
            A = before.A_at_scan_points
            many = covariance_of_B(_lower_factor(np.swapaxes(A, -1, -2) @ A), points, matrix, rotations)
            extra["B_covariance_at_scan_points"] = many.reshape(-1, 81).tolist()
    if extra.keys() == after.extra.keys():
        return new
    changed: CrystalT = replace(after, extra=extra, cell_sd=deviations)
    return changed


def carry_recalculated(
    old: CrystalT, new: CrystalT, matrix: np.ndarray, rotations: np.ndarray | None = None
) -> CrystalT:
    """The new crystal with the recalculated cell of the old one, changed as the basis was.

    Parameters
    ----------
    old, new : spindle.models.Crystal
    matrix, rotations
        As of `covariance_of_B`.

    Returns
    -------
    spindle.models.Crystal
        `new` with the recalculated cell and its standard deviations, taken as independent where values mix; `new` as it is when the old
        crystal has none.
    """
    before: Any = old
    after: Any = new
    cell = before.extra.get("recalculated_unit_cell")
    if cell is None:
        return new
    cell = np.asarray(cell, dtype=float)
    turn = None if rotations is None else np.asarray(rotations, dtype=float)

    def changed(values: np.ndarray) -> np.ndarray:
        rows = matrix @ np.swapaxes(np.array([orthogonalisation(v) for v in np.atleast_2d(values)]), -1, -2)
        metric = rows @ np.swapaxes(rows, -1, -2)
        if turn is not None:
            metric = _averaged(metric, turn)
        return np.asarray(cell_parameters(np.linalg.cholesky(metric)).reshape(np.shape(values)))

    moved, deviations = changed(cell), before.cell_sd
    if deviations is not None and not np.allclose(moved, cell, rtol=1e-9):
        steps = np.diag(STEP * cell)
        slope = (changed(cell + steps) - changed(cell - steps)) / (2.0 * np.diag(steps)[:, None])
        deviations = np.sqrt(np.asarray(deviations) ** 2 @ slope**2)
        deviations = np.where(deviations > np.sqrt(SMALLEST_VARIANCE), deviations, 0.0)
    more = {"recalculated_unit_cell": moved.tolist()}
    if (volume := before.extra.get("recalculated_cell_volume_sd")) is not None:
        more["recalculated_cell_volume_sd"] = float(volume) * abs(float(np.linalg.det(matrix)))
    kept: CrystalT = replace(after, cell_sd=deviations, extra=after.extra | more)
    return kept
