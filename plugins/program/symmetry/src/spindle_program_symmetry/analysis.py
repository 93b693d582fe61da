"""The Laue group analysis on prepared data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.symmetry import patterson_group
from spindle_lib_merging import correlation, group_equivalents, merge_groups, pack_indices
from spindle_lib_symmetry_analysis.laue import (
    ElementScore,
    IntensityMap,
    SubgroupScore,
    correlation_spread,
    distinct_elements,
    likelihoods,
    score_operator,
    score_subgroups,
    without_extremes,
)
from spindle_lib_symmetry_analysis.prepare import Prepared

MIN_REFLECTIONS = 10
#: Reflections whose sigma is larger than the median by this factor have no part in the correlation that is expected.
WORST_SIGMA = 50.0


@dataclass(slots=True)
class LaueAnalysis:
    """Scores of all symmetry elements and subgroups, the best subgroup first."""

    elements: list[ElementScore]
    subgroups: list[SubgroupScore]
    cc_unrelated: float
    n_unrelated: int
    spread: float
    expected_cc: float
    cc_true: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "cc_unrelated_pairs": self.cc_unrelated,
            "n_unrelated_pairs": self.n_unrelated,
            "cc_sig_fac": self.spread,
            "E_cc_true": self.expected_cc,
            "cc_true": self.cc_true,
            "laue_group": patterson_group(self.subgroups[0].subgroup.group).hm,
            "laue_group_probability": self.subgroups[0].likelihood,
            "sym_op_scores": [
                {"operator": e.rotation.tolist(), "likelihood": e.likelihood, "cc": e.cc, "z_cc": e.z_cc, "n_ref": e.n}
                for e in self.elements
            ],
            "subgroup_scores": [
                {
                    "patterson_group": patterson_group(s.subgroup.group).hm, "likelihood": s.likelihood,
                    "confidence": s.confidence,
                    "z_cc_net": s.z_net, "z_cc_for": s.z_for, "z_cc_against": s.z_against, "cc_for": s.cc_for,
                    "cc_against": s.cc_against, "max_angular_difference": s.subgroup.max_angular_difference,
                    "cb_op": s.subgroup.to_best.as_abc(),
                } for s in self.subgroups
            ],
        }  # fmt: skip


def analyse(data: Prepared, params: Any, rng: np.random.Generator, log: Any) -> LaueAnalysis:
    """Score every rotation of the lattice and every subgroup.

    Raises
    ------
    UserError
        If there are too few reflections.
    """
    rows = np.flatnonzero(data.keep)
    if len(rows) < MIN_REFLECTIONS:
        raise UserError(
            f"symmetry: {len(rows)} of {len(data.keep)} reflections are fit for the analysis, which needs {MIN_REFLECTIONS}; choose the "
            "group with laue_group=, or None to keep the present one, or set d_min=None"
        )
    hkl, value, variance = data.hkl[rows], data.normalised[rows], data.normalised_sigma[rows] ** 2
    groups = group_equivalents(hkl, "P -1")
    merged = merge_groups(groups, value, variance)
    d = data.d[rows][groups.order[groups.offsets[:-1]]]
    orbit = _orbits(merged.hkl, data.rotations)
    spread, cc_unrelated, n_unrelated = correlation_spread(merged.intensity, d, orbit, rng)
    # One reflection that was hardly measured must not make little of all others.
    measured = merged.sigma <= WORST_SIGMA * np.median(merged.sigma)
    variance_of_i = float(np.var(merged.intensity[measured]))
    expected = variance_of_i / (variance_of_i + float(np.mean(merged.sigma[measured] ** 2)))
    cc_identity, n_identity = _identity(hkl, value, variance)
    sigma_expected = max(0.05, spread / np.sqrt(200.0))
    cc_true = expected
    if n_identity > 10:
        sigma_identity = max(0.05, spread / np.sqrt(n_identity))
        weights = np.array([1.0 / sigma_expected**2, 1.0 / sigma_identity**2])
        cc_true = float(np.sum(weights * [expected, cc_identity]) / weights.sum())
    elements = []
    for rotation, order, axis in distinct_elements(data.rotations):
        if order == 1:
            cc, n = cc_identity, n_identity
        else:
            # under the symmetry that is tested, the fall-off has it, too
            own = data.obeying([np.linalg.matrix_power(rotation, k) for k in range(order)])
            moved = merge_groups(groups, own.normalised[rows], own.normalised_sigma[rows] ** 2)
            cc, n = score_operator(IntensityMap(moved.hkl, moved.intensity), rotation, order)
        sigma = max(0.1, spread / np.sqrt(max(n, 1)))
        present, absent = likelihoods(cc, sigma, cc_true)
        likelihood = present / (present + absent) if n else 0.0
        elements.append(ElementScore(rotation, order, axis, cc, n, sigma, likelihood, present, absent))
    return LaueAnalysis(
        elements, score_subgroups(data.subgroups, elements), cc_unrelated, n_unrelated, spread, expected, cc_true
    )


def _identity(hkl: np.ndarray, value: np.ndarray, variance: np.ndarray) -> tuple[float, int]:
    """Correlation of I(h) and I(-h), and the number of pairs."""
    split = group_equivalents(hkl, "P 1", anomalous=True)
    merged = merge_groups(split, value, variance)
    keys = pack_indices(merged.hkl)
    order = np.argsort(keys)
    mates = pack_indices(-merged.hkl)
    place = np.minimum(np.searchsorted(keys[order], mates), len(keys) - 1)
    partner = order[place]
    pairs = np.flatnonzero((keys[partner] == mates) & (keys < mates))
    if len(pairs) < 3:
        return 0.0, len(pairs)
    x, y = without_extremes(merged.intensity[pairs], merged.intensity[partner[pairs]])
    return correlation(x, y), len(x)


def _orbits(hkl: np.ndarray, rotations: list[np.ndarray]) -> np.ndarray:
    """A number for each index that its equivalents under the lattice group (and inversion) share."""
    keys = [pack_indices(s * (hkl.astype(np.int64) @ r)) for r in rotations for s in (1, -1)]
    return np.asarray(np.min(keys, axis=0))
