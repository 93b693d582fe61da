"""The space group that the data came with: where it lies in the common lattice, and whether the intensities agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from spindle.symmetry import (
    ChangeOfBasis,
    cell_parameters,
    centring_vectors,
    is_centring_absent,
    is_systematically_absent,
)
from spindle_lib_merging import Merged, merge_equivalents
from spindle_lib_symmetry_analysis.prepare import Prepared
from spindle_lib_symmetry_analysis.rotations import conjugate, keys_of, same_rotations

from .analysis import LaueAnalysis

#: Mean I / sigma of forbidden reflections from which they count as present.
SIGNIFICANT_ABSENCE = 3.0


def contradiction_in_laue_group(analysis: LaueAnalysis, group: Sequence[np.ndarray]) -> str:
    """What the intensities say against a group, with numbers; empty when they do not."""
    keys = keys_of(group)
    against = [e for e in analysis.elements if e.rotation.astype(np.int64).tobytes() in keys and e.order > 1
               and e.n > 10 and e.likelihood < 0.2]  # fmt: skip
    if not against:
        return ""
    parts = [f"{e.order}-fold along {e.axis}: CC {e.cc:.2f} of {e.n} pairs" for e in against]
    return f"{'; '.join(parts)} (a true symmetry would have {analysis.cc_true:.2f})"


def likelihood_of(analysis: LaueAnalysis, group: Sequence[np.ndarray]) -> float:
    """Probability of the subgroup with these rotations; NaN when the lattice does not have it."""
    for score in analysis.subgroups:
        if same_rotations(score.subgroup.rotations, group):
            return score.likelihood
    return float("nan")


def axes_that_agree(
    data: Prepared, hkl: np.ndarray, basis: np.ndarray, group: gemmi.SpaceGroup
) -> ChangeOfBasis | None:
    """Another choice of axes, of the same lattice and Laue group, in which the data agree with a space group; None without one.

    A group whose cell was not given says which axis has a screw, and lattice parameters do not say which axis that is.

    Parameters
    ----------
    data
        Observations.
    hkl : (n, 3) int
        Their indices in the setting of the group, which they contradict.
    basis : (3, 3) float64
        Rows a, b, c in that setting; of axes on which the data agree equally well the least oblique are taken, with obtuse angles.
    """
    own = [np.array(op.rot) // op.DEN for op in group.operations().sym_ops]
    points = centring_vectors(group)
    grid = np.array(np.meshgrid(*[range(-1, 2)] * 9)).reshape(9, -1).T.reshape(-1, 3, 3)
    grid = grid[np.rint(np.linalg.det(grid)) == 1]
    best = None
    least: tuple[float, ...] = (np.inf,)
    for matrix in grid[np.argsort(np.abs(grid - np.eye(3)).sum(axis=(1, 2)), kind="stable")]:
        change = ChangeOfBasis(matrix)
        turn = np.rint(change.xyz_rotation).astype(np.int64)
        if keys_of(conjugate(turn, own)) != keys_of(own) or _within_cell(points @ turn.T) != _within_cell(points):
            continue
        moved = hkl @ matrix.T
        _, ratio = _forbidden(merge_equivalents(moved, data.intensity, data.variance, group), group)
        n, strong = len(ratio), int(np.count_nonzero(ratio > SIGNIFICANT_ABSENCE))
        cosines = np.cos(np.radians(cell_parameters(matrix @ basis)[3:])).round(2)
        rank = (strong, float(np.abs(cosines).sum()), float(cosines.max()), -n)
        if n and rank < least and not contradiction_in_absences(data, moved, group):
            best, least = change, rank
    return best


def other_axes(decision: Any, hkl: np.ndarray, group: gemmi.SpaceGroup) -> str:
    """How the user comes to the axes of `axes_that_agree`; empty where there are none.

    Parameters
    ----------
    decision
        Operators and observations.
    hkl : (n, 3) int
        Indices of the observations in the setting of the group.
    """
    data = decision.data
    basis = (decision.operators[0] @ data.to_minimum[0].inverse()).matrix @ data.basis
    change = axes_that_agree(data, hkl, basis, group)
    if change is None:
        return ""
    operator = change.as_abc()
    return (
        f"the data agree with it on other axes of the same lattice, {operator}: run spindle reindex with "
        f"change_of_basis_op={operator} space_group='{group.xhm()}', and symmetry with what it writes"
    )


def contradiction_in_absences(data: Prepared, hkl: np.ndarray, group: gemmi.SpaceGroup) -> str:
    """Reflections that the screw axes and glide planes of a group forbid but that are there; empty when none are.

    Parameters
    ----------
    data
        Observations.
    hkl : (n, 3) int
        Their indices in the setting of the group.
    """
    merged = merge_equivalents(hkl, data.intensity, data.variance, group)
    forbidden, ratio = _forbidden(merged, group)
    n = len(ratio)
    if not n:
        return ""
    strong = int(np.count_nonzero(ratio > SIGNIFICANT_ABSENCE))
    if strong <= 0.25 * n or (strong < 2 and n > 1):
        return ""
    others = merged.intensity[~forbidden]
    share = float(np.mean(merged.intensity[forbidden]) / np.mean(others)) if len(others) else float("nan")
    worst = merged.hkl[forbidden][int(np.argmax(ratio))]
    return (
        f"{strong} of {n} reflections that it forbids have I/sigma above {SIGNIFICANT_ABSENCE:g}, their mean intensity "
        f"is {share:.2f} of that of all others; the strongest is {' '.join(str(v) for v in worst)}"
    )


def _forbidden(merged: Merged, group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """Which unique reflections screw axes and glide planes forbid, and the I / sigma of those."""
    forbidden = is_systematically_absent(merged.hkl, group) & ~is_centring_absent(merged.hkl, group)
    return forbidden, merged.intensity[forbidden] / merged.sigma[forbidden]


def _within_cell(points: np.ndarray) -> set[tuple[int, ...]]:
    """Lattice points, in 24ths of the basis vectors and moved into the cell."""
    return {tuple(point) for point in (np.rint(24 * points).astype(int) % 24).tolist()}


def describe(operators: Sequence[ChangeOfBasis]) -> list[tuple[str, list[int]]]:
    """Distinct operators as text (new basis vectors), with the experiments that they are for."""
    found: dict[str, list[Any]] = {}
    for i, operator in enumerate(operators):
        found.setdefault(operator.as_abc(), []).append(i)
    return list(found.items())
