"""Merged intensities of contestants, by index: for results that are merged already and have no places on images."""

from __future__ import annotations

from itertools import product

import gemmi
import numpy as np

from spindle.symmetry import asu_indices
from spindle_lib_comparison import operator_text
from spindle_lib_merging import correlation, group_equivalents, merge_groups, pack_indices, prepare_intensities

from .contestant import Contestant
from .observations import Observations, SamePlaces

__all__ = ["merged_level_needed", "merged_observations", "same_indices"]

#: Cells that differ by more than this part of an edge are not of the same crystal form.
SAME_CELL = 0.05
FEWEST = 20


def merged_level_needed(contestants: list[Contestant]) -> bool:
    """Whether one of them holds merged reflections only."""
    return any(c.merged for c in contestants)


def merged_observations(contestant: Contestant) -> Observations | None:
    """Unique reflections (n,) of a contestant, Friedel mates together; None where it has no scaled intensities."""
    stage = contestant.scaled
    if stage is None:
        return None
    found = prepare_intensities(stage.reflections, "scale")
    crystals = [e.crystal for e in stage.experiments if e.crystal is not None]
    group = crystals[0].space_group
    hkl, value, variance = found.table["miller_index"], found.values["scale"], found.variances["scale"]
    good = np.isfinite(value) & (variance > 0) & np.any(hkl != 0, axis=1)
    if not good.any():
        return None
    merged = merge_groups(group_equivalents(hkl[good], group), value[good], variance[good])
    n = len(merged.hkl)
    zeros = np.zeros(n, np.int64)
    cell = np.median([c.cell for c in crystals], axis=0)
    return Observations(
        "merged", np.arange(n), merged.hkl.astype(np.int64), zeros, zeros, zeros, np.zeros((n, 3)),
        np.asarray(_resolution(merged.hkl, cell)), merged.intensity, merged.sigma, [""], 1.0, group, cell,
    )  # fmt: skip


def _resolution(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    return np.asarray(gemmi.UnitCell(*cell).calculate_d_array(np.asarray(hkl, np.int32)))


def same_indices(a: Observations, b: Observations, names: tuple[str, str]) -> SamePlaces:
    """Which unique reflections of two contestants are the same: by index, after the change of axes that makes intensities agree best.

    Notes
    -----
    Changes of axes are those that bring the second cell onto the first; where point groups differ, indices are told apart in the one with
    more operations, so that mates of the other are several pairs of one reflection.
    """
    empty = np.zeros(0, np.int64)
    group, why = _common_group(a, b, names)
    if group is None:
        return SamePlaces(empty, empty, [why])
    best: tuple[float, np.ndarray, np.ndarray, np.ndarray] | None = None
    for matrix in _changes_of_axes(a, b):
        moved = b.hkl @ np.rint(np.linalg.inv(matrix)).astype(np.int64).T
        first, second = _pairs(a.hkl, moved, group)
        if not len(first):
            continue
        score = (
            float(np.nan_to_num(correlation(a.intensity[first], b.intensity[second]))) if len(first) >= FEWEST else 0.0
        )
        if best is None or score > best[0] + 1e-3:
            best = (score, first, second, matrix)
    notes = [why] if why else []
    if best is None:
        cells = (
            f"their cells differ, {_said(a.cell)} and {_said(b.cell)}"
            if not _alike(a.cell, b.cell)
            else "no index is in both"
        )
        return SamePlaces(empty, empty, [*notes, f"{names[0]} and {names[1]} share no reflections: {cells}"])
    _, first, second, matrix = best
    text = operator_text(matrix)
    if text != "h,k,l":
        notes.append(f"{names[1]} has the indices {text} of {names[0]}, another choice of axes, allowed for here")
    return SamePlaces(first, second, notes)


def _said(cell: np.ndarray | None) -> str:
    return "unknown" if cell is None else " ".join(f"{v:.1f}" for v in cell)


def _alike(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return True
    return bool(np.allclose(a[:3], b[:3], rtol=SAME_CELL) and np.allclose(a[3:], b[3:], atol=180 * SAME_CELL / np.pi))


def _common_group(a: Observations, b: Observations, names: tuple[str, str]) -> tuple[gemmi.SpaceGroup | None, str]:
    """The group in which indices of both are told apart, and what there is to say."""
    operations = [_rotations(o.group) for o in (a, b)]
    if operations[0] == operations[1]:
        return a.group, ""
    told = f"{names[0]} is in {a.group.xhm()}, {names[1]} in {b.group.xhm()}: "
    for mine, other, higher in ((operations[0], operations[1], a), (operations[1], operations[0], b)):
        if other <= mine:
            return higher.group, told + f"compared in {higher.group.point_group_hm()}, which has the operations of both"
    return None, told + "neither point group has the operations of the other, so that merged intensities do not compare"


def _rotations(group: gemmi.SpaceGroup) -> set[tuple[int, ...]]:
    """Rotations with and without the inversion, as tuples."""
    found = set()
    for operation in group.operations().derive_symmorphic().sym_ops:
        rotation = tuple(int(v) for row in operation.rot for v in row)
        found |= {rotation, tuple(-v for v in rotation)}
    return found


def _changes_of_axes(a: Observations, b: Observations) -> list[np.ndarray]:
    """Matrices (3, 3) from indices of the first to those of the second that bring its cell onto the other, the identity first, one of each that
    differ by an operation of the point group."""
    identity = np.eye(3, dtype=np.int64)
    if a.cell is None or b.cell is None:
        return [identity]
    first, second = (_metric(o.cell) for o in (a, b))
    size = np.sqrt(np.outer(np.diag(second), np.diag(second)))
    vectors = np.array([v for v in np.ndindex(3, 3, 3) if v != (1, 1, 1)]) - 1
    lengths = np.einsum("ni,ij,nj->n", vectors, first, vectors)
    near = [vectors[np.abs(lengths / second[i, i] - 1) < 2 * SAME_CELL] for i in range(3)]
    known = _rotations(a.group)
    found: list[np.ndarray] = []
    candidates = [np.array(rows) for rows in product(*near)]
    candidates.sort(key=lambda m: not np.array_equal(m, identity))
    for matrix in candidates:
        if round(float(np.linalg.det(matrix))) != 1 or not np.allclose(
            matrix @ first @ matrix.T / size, second / size, atol=2 * SAME_CELL
        ):
            continue
        changes = (np.rint(np.linalg.inv(m) @ matrix).astype(int) for m in found)
        if not any(tuple(c.T.ravel().tolist()) in known for c in changes):
            found.append(matrix)
    return found or [identity]


def _metric(cell: np.ndarray | None) -> np.ndarray:
    """(3, 3) float64: products of the axes of a cell."""
    orthogonal = np.array(gemmi.UnitCell(*np.asarray(cell)).orth.mat.tolist())
    return np.asarray(orthogonal.T @ orthogonal)


def _pairs(hkl: np.ndarray, other: np.ndarray, group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two sets of indices that are one reflection."""
    keys = [pack_indices(asu_indices(np.asarray(h, np.int32), group)[0]) for h in (hkl, other)]
    unique, rows = np.unique(keys[1], return_index=True)
    place = np.minimum(np.searchsorted(unique, keys[0]), len(unique) - 1)
    first = np.flatnonzero(unique[place] == keys[0])
    return first, rows[place[first]]
