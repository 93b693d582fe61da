"""Restraints on cells: extra residuals that pull them towards a target or towards each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import cell_from_real_space

if TYPE_CHECKING:
    from .model_block import ModelBlock
    from .problem import Problem
    from .standing import Standing


def cell_and_gradient(B: np.ndarray, dB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cell (6,) in angstrom and degrees from B (3, 3), and its derivatives (k, 6) along dB (k, 3, 3).

    Notes
    -----
    With the real-space vectors as rows of M = B^-1, dM = -M dB M; lengths and angles follow from the metric M M^T.

    """
    M = np.linalg.inv(B)
    cell = cell_from_real_space(M)
    dM = -(M @ dB @ M)
    G = M @ M.T
    dG = dM @ M.T
    dG = dG + np.swapaxes(dG, -1, -2)
    lengths = np.sqrt(np.diag(G))
    d_lengths = 0.5 * dG[:, [0, 1, 2], [0, 1, 2]] / lengths
    gradient = np.zeros((len(dB), 6))
    gradient[:, :3] = d_lengths
    for k, (i, j) in enumerate(((1, 2), (0, 2), (0, 1)), 3):
        cosine = G[i, j] / (lengths[i] * lengths[j])
        d_cosine = dG[:, i, j] / (lengths[i] * lengths[j]) - cosine * (
            d_lengths[:, i] / lengths[i] + d_lengths[:, j] / lengths[j]
        )
        gradient[:, k] = np.rad2deg(-d_cosine / np.sqrt(max(1.0 - cosine * cosine, 1e-12)))
    return cell, gradient


@dataclass
class Restraint:
    """Cells of some crystals tied to a target cell, or to their own mean or median.

    Attributes
    ----------
    blocks : list of ModelBlock
        The cells, constant ones only.
    sigmas : (6,) float64
        0 leaves an element free.
    target : (6,) float64 or None
        None ties them to each other.
    mode : "target", "mean", "low_memory_mean" or "median"
    """

    blocks: list[ModelBlock]
    sigmas: np.ndarray
    target: np.ndarray | None
    mode: str

    @property
    def n_residuals(self) -> int:
        """Number of residuals."""
        return len(self.blocks) * int(np.count_nonzero(self.sigmas > 0))

    def add(self, everything: np.ndarray, problem: Problem, N: np.ndarray, g: np.ndarray, gradients: bool) -> float:
        """Add the restraint's part to the normal equations; return half its weighted sum of squares."""
        used = self.sigmas > 0
        weights = np.zeros(6)
        weights[used] = 1.0 / self.sigmas[used] ** 2
        cells, slopes, numbers = [], [], []
        for block in self.blocks:
            B, dB = block.parameterisation.compose(block.at(everything, np.zeros(1)))
            cell, slope = cell_and_gradient(B[0], dB[0])
            cells.append(cell)
            slopes.append(slope)
            numbers.append(problem.number[block.offset : block.offset + block.size])
        values = np.array(cells)
        if self.mode == "target":
            centre = self.target
        elif self.mode == "median":
            centre = np.median(values, axis=0)
        else:
            centre = values.mean(axis=0)
        residuals = values - centre
        total = 0.5 * float((weights * residuals**2).sum())
        if not gradients:
            return total
        share = 1.0 / len(self.blocks) if self.mode == "mean" else 0.0
        for i in range(len(self.blocks)):
            # Rows of this residual's Jacobian: its own cell, and through the mean a little of all.
            columns, rows = [], []
            for j, (slope, number) in enumerate(zip(slopes, numbers, strict=True)):
                factor = (1.0 if i == j else 0.0) - share
                free = number >= 0
                if factor != 0.0 and free.any():
                    columns.append(number[free])
                    rows.append(factor * slope[free])
            if not columns:
                continue
            at, J = np.concatenate(columns), np.concatenate(rows)
            np.add.at(g, at, J @ (weights * residuals[i]))
            np.add.at(N, (at[:, None], at[None, :]), (J * weights) @ J.T)
        return total


def build_restraints(problem: Problem, scope: Any) -> list[Restraint | Standing]:
    """Restraints that ``crystal.unit_cell.restraints`` asks for. Cells that vary with the scan are left alone."""
    cells = [b for b in problem.blocks if b.kind == "cell" and b.smoother is None and not b.fixed.all()]
    restraints: list[Restraint | Standing] = []
    for tie in scope.tie_to_target:
        where = "refinement.parameterisation.crystal.unit_cell.restraints.tie_to_target"
        if tie.values is None or tie.sigmas is None:
            raise RefinementError(f"{where}: give both values= (a cell) and sigmas= (six numbers)")
        members = _members(cells, tie.id, problem, where)
        if members:
            restraints.append(Restraint(members, np.array(tie.sigmas), np.array(tie.values), "target"))
    for tie in scope.tie_to_group:
        where = "refinement.parameterisation.crystal.unit_cell.restraints.tie_to_group"
        if tie.sigmas is None:
            raise RefinementError(f"{where}: give sigmas= (six numbers)")
        members = _members(cells, tie.id, problem, where)
        if len(members) > 1:
            restraints.append(Restraint(members, np.array(tie.sigmas), None, tie.target))
    return restraints


def _members(cells: list[ModelBlock], ids: Any, problem: Problem, where: str) -> list[ModelBlock]:
    if ids is None:
        return cells
    unknown = [i for i in ids if i >= len(problem.experiments)]
    if unknown:
        raise RefinementError(
            f"{where}.id={unknown[0]}: there are {len(problem.experiments)} experiments, numbered from 0"
        )
    return [b for b in cells if set(ids) & set(b.experiments)]
