"""Laue groups that the agreement of intensities within their errors supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from spindle.symmetry import LatticeSubgroup, cell_parameters, chiral_symmorphic_group, patterson_group
from spindle_lib_merging import merge_equivalents
from spindle_lib_symmetry_analysis.alignment import orbit_keys
from spindle_lib_symmetry_analysis.laue import SubgroupScore
from spindle_lib_symmetry_analysis.prepare import Prepared
from spindle_lib_symmetry_analysis.rotations import same_rotations
from spindle_lib_twinning.agreement import Excess, Measured, batches, excess, on_one_scale, r_merge
from spindle_lib_twinning.diagnosis import Diagnosis, diagnose

#: Mates of a twin differ by this much of their intensity at least, and by this many times what equals differ by (mean square).
TWIN_EXCESS, TWIN_RATIO = 0.05, 2.0
#: Without the statistics of a twin: differences that no errors of scales explain.
PSEUDO_EXCESS, PSEUDO_RATIO = 0.35, 10.0
#: Groups less likely than this fraction of the one that is taken do not matter.
NEGLIGIBLE = 0.01
#: A twin of 45 % is told from the higher group by a thousand differences of mates, and taken for it where there are 250 or fewer.
ENOUGH_DIFFERENCES = 500


@dataclass(frozen=True, slots=True)
class Lowered:
    """A Laue group that correlations suggest and agreement refutes.

    Attributes
    ----------
    suggested, supported : LatticeSubgroup
    excess : Excess
    diagnosis : Diagnosis
        Of the intensities merged in the supported group.
    """

    suggested: LatticeSubgroup
    supported: LatticeSubgroup
    excess: Excess
    diagnosis: Diagnosis

    @property
    def sentence(self) -> str:
        """Why, with numbers."""
        higher, lower = (patterson_group(s.group).hm for s in (self.suggested, self.supported))
        said = (
            f"reflections that only {higher} makes equal differ by {100 * self.excess.relative:.0f} % of their intensity more than "
            f"their errors, {np.sqrt(self.excess.ratio):.1f} times as much as equivalents in {lower}"
        )
        test, law = self.diagnosis.l_test, self.diagnosis.law
        if not self.diagnosis.is_twinned:
            return f"{said}. The additional symmetry is a pseudo-symmetry; {lower} is taken"
        twin = (
            f"the twin law {law.law.name} with a fraction of {law.fraction_h_square:.2f}"
            if law is not None
            else "an unknown twin law"
        )
        return (
            f"{said}, and neighbours differ as in a twin (<|L|> = {test.mean_abs:.3f}; single crystal 0.5, perfect twin 0.375). The "
            f"crystal is twinned by {twin}; {lower} is taken"
        )


def measured(data: Prepared, group: Sequence[np.ndarray]) -> Measured:
    """Normalised observations with one scale per part of each scan, by the reflections that a group makes equal."""
    data = data.obeying(group)
    rows = np.flatnonzero(data.keep)
    part = batches(data.experiment[rows], data.image[rows])
    return on_one_scale(Measured(data.hkl[rows], data.normalised[rows], _sigma(data)[rows], part), group)


def _sigma(data: Prepared) -> np.ndarray:
    """Errors of normalised intensities without the caution for what they do not know of."""
    known = data.cautious > 0
    factor = np.sqrt(np.divide(data.variance, data.cautious, out=np.ones(len(data.variance)), where=known))
    return np.asarray(data.normalised_sigma * factor)


@dataclass(frozen=True, slots=True)
class Supported:
    """The Laue group that correlations and agreement together choose.

    Attributes
    ----------
    subgroup : LatticeSubgroup
    steps : list of Lowered
        From the best group by correlations down to it; empty where that is it.
    probability : float
        Its likelihood among the groups that agreement does not refute.
    """

    subgroup: LatticeSubgroup
    steps: list[Lowered]
    probability: float


def supported_group(data: Prepared, scores: Sequence[SubgroupScore]) -> Supported:
    """The best Laue group by correlations, or a subgroup where it makes intensities equal that are not.

    Parameters
    ----------
    data : Prepared
        In one indexing.
    scores : sequence of SubgroupScore
        The best first.
    """
    best = scores[0]
    if len(best.subgroup.rotations) == 1 or not data.keep.any():
        return Supported(best.subgroup, [], best.likelihood)
    scaled = measured(data, best.subgroup.rotations)
    everything = [s.subgroup for s in scores]
    current, steps = best.subgroup, []
    while (step := _refuted(scaled, data, current, everything)) is not None:
        steps.append(step)
        current = step.supported
    own = next(s.likelihood for s in scores if s.subgroup is current)
    total = own
    for score in scores:
        if score.subgroup is current or score.likelihood < NEGLIGIBLE * own:
            continue
        if _refuted(scaled, data, score.subgroup, everything) is None:
            total += score.likelihood
    return Supported(current, steps, own / total if total > 0 else 0.0)


def _refuted(
    scaled: Measured, data: Prepared, group: LatticeSubgroup, everything: Sequence[LatticeSubgroup]
) -> Lowered | None:
    """The subgroup whose equivalents agree where those of a group do not; None where the group is as good.

    In a twin by one law neighbours differ as in a twin in all subgroups of the crystal's group, too, and whatever else disturbs
    intensities would be taken for a second law. They do not speak for a subgroup where the law of the group itself makes neighbours as
    alike as they are, and the mates that agree best of all are those that the group makes equal.
    """
    found = []
    for subgroup in _maximal(group, everything):
        compared = excess(scaled, subgroup.rotations, group.rotations)
        if compared.ratio > TWIN_RATIO and compared.relative > TWIN_EXCESS:
            found.append((compared.ratio, subgroup, compared))
    explained = bool(found) and diagnose_in(scaled, data, group).is_explained
    for _, subgroup, compared in sorted(found, key=lambda f: -f[0]):
        diagnosis = diagnose_in(scaled, data, subgroup)
        pseudo = compared.ratio > PSEUDO_RATIO and compared.relative > PSEUDO_EXCESS
        twinned = diagnosis.is_twinned and not (explained and _holds_best_law(group, subgroup, diagnosis))
        if twinned or pseudo:
            return Lowered(group, subgroup, compared, diagnosis)
    return None


def _holds_best_law(group: LatticeSubgroup, subgroup: LatticeSubgroup, diagnosis: Diagnosis) -> bool:
    """Whether the twin law of the largest fraction in a subgroup is an operator of the group."""
    if diagnosis.law is None:
        return False
    general = np.array([[1, 5, 13], [7, -3, 17], [-11, 19, 2]]) * 12  # whole in every setting
    there, _ = subgroup.to_best.apply_to_indices(general)
    turned, _ = diagnosis.law.law.operator.apply_to_indices(there)
    back, _ = subgroup.to_best.inverse().apply_to_indices(turned)
    return bool((orbit_keys(back, group.rotations) == orbit_keys(general, group.rotations)).all())


def diagnose_in(scaled: Measured, data: Prepared, subgroup: LatticeSubgroup) -> Diagnosis:
    """Statistics of the intensities merged in a subgroup."""
    hkl, _ = subgroup.to_best.apply_to_indices(scaled.hkl)
    group = chiral_symmorphic_group(patterson_group(subgroup.group))
    return _diagnosis(scaled, hkl, cell_parameters(subgroup.to_best.matrix @ data.basis), group)


def diagnose_decision(
    data: Prepared, rotations: Sequence[np.ndarray], hkl: np.ndarray, cell: np.ndarray, group: gemmi.SpaceGroup
) -> Diagnosis:
    """Statistics of the intensities merged in the group that was chosen.

    Parameters
    ----------
    data : Prepared
    rotations : sequence of (3, 3) int64
        The Laue group's in the common reduced cell.
    hkl : (n, 3) int
        Indices of all observations in the setting of the group.
    cell : (6,) float64
    group : gemmi.SpaceGroup
    """
    return _diagnosis(measured(data, rotations), hkl[data.keep], cell, group)


def _diagnosis(scaled: Measured, hkl: np.ndarray, cell: np.ndarray, group: gemmi.SpaceGroup) -> Diagnosis:
    merged = merge_equivalents(hkl, scaled.value, scaled.sigma**2 + 1e-9, group)
    return diagnose(merged.hkl, merged.intensity, merged.sigma, cell, group)


def too_few_differences(decision: Any, found: Diagnosis) -> str:
    """That too few observations decide between a twin's Laue group and those next to it; empty where they are enough.

    Parameters
    ----------
    decision
        Observations, rotations of the Laue group, and the analysis that it was chosen by.
    found : Diagnosis
        Of the intensities merged in that group.
    """
    if not found.is_twinned or decision.analysis is None:
        return ""
    data, rotations = decision.data, decision.rotations
    everything = [s.subgroup for s in decision.analysis.subgroups]
    pairs = [(lower, higher) for higher in everything for lower in _maximal(higher, everything)]
    near = [p for p in pairs if any(same_rotations(s.rotations, rotations) for s in p)]
    if not near or not data.keep.any():
        return ""
    scaled = measured(data, rotations)
    n = min(excess(scaled, lower.rotations, higher.rotations).n for lower, higher in near)
    if n >= ENOUGH_DIFFERENCES:
        return ""
    return (
        f"Too few observations decide the Laue group of this twin: {n} differences of mates tell it from the next, and about "
        f"{ENOUGH_DIFFERENCES} are needed to tell them from equivalents. Process more images, or give the group with laue_group="
    )


def r_merges(data: Prepared, scores: Sequence[SubgroupScore]) -> list[float]:
    """Rmerge of the normalised intensities in each subgroup, scales between parts of the scans taken out."""
    if not data.keep.any():
        return [float("nan")] * len(scores)
    scaled = measured(data, scores[0].subgroup.rotations)
    return [r_merge(scaled, s.subgroup.rotations) for s in scores]


def _maximal(group: LatticeSubgroup, candidates: Sequence[LatticeSubgroup]) -> list[LatticeSubgroup]:
    """The subgroups between which and a group there is no other."""
    keys = {r.tobytes() for r in group.rotations}
    below = []
    for candidate in candidates:
        own = {r.tobytes() for r in candidate.rotations}
        if own < keys:
            below.append((own, candidate))
    return [c for own, c in below if not any(own < other for other, _ in below)]
