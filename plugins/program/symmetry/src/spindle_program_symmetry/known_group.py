"""The space group that the data came with: where it lies in the common lattice, and whether the intensities agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from spindle.symmetry import (
    ChangeOfBasis,
    is_centring_absent,
    is_systematically_absent,
)
from spindle_lib_merging import merge_equivalents
from spindle_lib_symmetry_analysis.prepare import Prepared
from spindle_lib_symmetry_analysis.rotations import keys_of, same_rotations

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
    forbidden = is_systematically_absent(merged.hkl, group) & ~is_centring_absent(merged.hkl, group)
    n = int(np.count_nonzero(forbidden))
    if not n:
        return ""
    ratio = merged.intensity[forbidden] / merged.sigma[forbidden]
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


def describe(operators: Sequence[ChangeOfBasis]) -> list[tuple[str, list[int]]]:
    """Distinct operators as text (new basis vectors), with the experiments that they are for."""
    found: dict[str, list[Any]] = {}
    for i, operator in enumerate(operators):
        found.setdefault(operator.as_abc(), []).append(i)
    return list(found.items())
