"""The space group that the data came with: where it lies in the common lattice, and whether the intensities agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np
from scipy.special import bdtrc, fdtr

from spindle.models import Experiments
from spindle.symmetry import (
    ChangeOfBasis,
    cell_parameters,
    centring_vectors,
    is_centring_absent,
    is_systematically_absent,
)
from spindle_lib_merging import Merged, merge_equivalents
from spindle_lib_symmetry_analysis.absences import CHANCE_OF_FAINTNESS
from spindle_lib_symmetry_analysis.prepare import Prepared
from spindle_lib_symmetry_analysis.rotations import conjugate, keys_of, same_rotations

from .analysis import LaueAnalysis

#: I / sigma of forbidden reflections from which they count as present.
SIGNIFICANT_ABSENCE = 3.0
#: Part of the forbidden reflections of a true group that may count as present all the same: neighbours, ice, bad pixels, several
#: reflections at once, half the wavelength, sigmas that are too small.
SPURIOUS = 0.05
#: A group is contradicted where so many are present by chance with less than this probability, at least so many, and a larger part of all
MOST_CHANCE, FEWEST_PRESENT, MOST_PRESENT = 0.01, 3, 0.25
#: which are no fainter, relative to the others, than what several reflections at once and half the wavelength bring about.
LEAST_INTENSITY = 0.02


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
        found = forbidden_reflections(data, moved, group)
        cosines = np.cos(np.radians(cell_parameters(matrix @ basis)[3:])).round(2)
        rank = (found.present, float(np.abs(cosines).sum()), float(cosines.max()), -found.n)
        if found.n and rank < least and found.are_few:
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


@dataclass(frozen=True, slots=True)
class ForbiddenReflections:
    """Reflections that the screw axes and glide planes of a space group forbid.

    Attributes
    ----------
    n, present : int
        Unique ones that were measured, and those with I / sigma above `SIGNIFICANT_ABSENCE`.
    intensity : float
        Their mean intensity relative to that of all others, the fall-off with resolution taken out; NaN without any.
    faintness : float
        Probability that they are as faint as that, or fainter, when they are reflections like all others.
    strongest : (3,) int
    """

    n: int
    present: int
    intensity: float
    faintness: float
    strongest: tuple[int, ...]

    @property
    def chance(self) -> float:
        """Probability that as many or more are present in a group that is true, where each is so with `SPURIOUS`."""
        return float(bdtrc(self.present - 1, self.n, SPURIOUS)) if self.present else 1.0

    @property
    def are_few(self) -> bool:
        """Whether no more are present than in a group that is true."""
        return self.present <= MOST_PRESENT * self.n or self.present < min(2, self.n)

    def contradict(self, electrons: bool) -> bool:
        """Whether they are evidence against the group; one alone never is."""
        if (
            self.are_few
            or self.present < FEWEST_PRESENT
            or self.chance >= MOST_CHANCE
            or self.intensity <= LEAST_INTENSITY
        ):
            return False
        return not electrons or self.faintness >= CHANCE_OF_FAINTNESS

    @property
    def sentence(self) -> str:
        """How many there are, with numbers."""
        one = self.n == 1
        return (
            f"{self.present} of {self.n} reflection{'' if one else 's'} that it forbids {'has' if one else 'have'} I/sigma above "
            f"{SIGNIFICANT_ABSENCE:g} (as many by chance, were one in {1 / SPURIOUS:.0f} of them spurious, with a probability of "
            f"{self.chance:.2g}), their mean intensity is {self.intensity:.2f} of that of all others; the strongest is "
            f"{' '.join(str(v) for v in self.strongest)}"
        )


def forbidden_reflections(data: Prepared, hkl: np.ndarray, group: gemmi.SpaceGroup) -> ForbiddenReflections:
    """What was measured of reflections that a group forbids.

    Parameters
    ----------
    data
        Observations.
    hkl : (n, 3) int
        Their indices in the setting of the group.

    Notes
    -----
    Forbidden reflections lie on axes and in planes, where reflections are centric: means of n and m of their normalised intensities
    have a ratio of Fisher's distribution with n and m degrees of freedom, when neither is forbidden.
    """
    forbidden, ratio = _forbidden(merge_equivalents(hkl, data.intensity, data.variance, group), group)
    n, present = len(ratio), int(np.count_nonzero(ratio > SIGNIFICANT_ABSENCE))
    if not n:
        return ForbiddenReflections(0, 0, float("nan"), 1.0, ())
    merged = merge_equivalents(hkl, data.normalised, data.normalised_sigma**2, group)
    others = merged.intensity[~(forbidden | is_centring_absent(merged.hkl, group))]
    mean = float(np.mean(others)) if len(others) else 0.0
    share = float(np.mean(merged.intensity[forbidden])) / mean if mean > 0 else float("nan")
    faintness = float(fdtr(n, len(others), max(share, 0.0))) if mean > 0 else 1.0
    strongest = tuple(int(v) for v in merged.hkl[forbidden][int(np.argmax(ratio))])
    return ForbiddenReflections(n, present, share, faintness, strongest)


def contradiction_in_absences(
    decision: Any, hkl: np.ndarray, group: gemmi.SpaceGroup, experiments: Experiments, check: bool, log: Any
) -> tuple[list[str], str]:
    """Reflections that the screw axes and glide planes of a group forbid but that are there, and what to do; empty when they are not.

    Parameters
    ----------
    decision
        Operators and observations.
    hkl : (n, 3) int
        Indices of the observations in the setting of the group.
    check : bool
        Whether to look at them at all.
    """
    if not check:
        return [], ""
    found = forbidden_reflections(decision.data, hkl, group)
    if found.contradict(electrons=any(e.beam.probe == "electron" for e in experiments)):
        return [found.sentence], other_axes(decision, hkl, group)
    if not found.are_few:
        log.info("%s: too little to contradict the space group", found.sentence)
    return [], ""


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
