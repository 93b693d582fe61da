"""The symmetry that the vectors show, and the operators that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle.symmetry import (
    ChangeOfBasis,
    LatticeSubgroup,
    chiral_symmorphic_group,
    laue_class,
    patterson_group,
    space_group,
)
from spindle_lib_data_set_correlations.pairs import PairCorrelations
from spindle_lib_symmetry_analysis.alignment import cosets
from spindle_lib_symmetry_analysis.laue import (
    ElementScore,
    SubgroupScore,
    distinct_elements,
    likelihoods,
    score_subgroups,
    stars,
)
from spindle_lib_symmetry_analysis.prepare import Prepared
from spindle_lib_symmetry_analysis.rotations import (
    keys_of,
    relative_to_first,
    rotations_in,
    rotations_onto,
    rounded,
)

from .indexing import Indexing

__all__ = ["Decision", "KnownGroup", "decide", "known_group"]

#: A Laue group less likely than this is not believed.
MIN_PROBABILITY = 0.5
#: Standard deviation of the cosine between vectors that a symmetry relates.
SPREAD = 0.1


@dataclass(slots=True)
class KnownGroup:
    """A space group that all sets are in already.

    Attributes
    ----------
    group : gemmi.SpaceGroup
    rotations : list of (3, 3) int64
        Of its Laue group, in the common reduced cell.
    first : list of (3, 3) int64
        Brings the symmetry axes of each set together.
    options : list of (3, 3) int64
        Indexings that it leaves open.
    """

    group: gemmi.SpaceGroup
    rotations: list[np.ndarray]
    first: list[np.ndarray]
    options: list[np.ndarray]


@dataclass(slots=True)
class Decision:
    """Group and operators.

    Attributes
    ----------
    group : gemmi.SpaceGroup
    operators : list of ChangeOfBasis
        From each experiment's cell to that of the group.
    margin : (n_sets,) float64
        How much larger the cosine of the indexing taken is than that of any other; NaN where there is no other.
    elements, subgroups
        Scores; empty for a known group.
    undecided : str
        Why no group can be believed; empty when one is.
    """

    group: gemmi.SpaceGroup
    operators: list[ChangeOfBasis]
    margin: np.ndarray
    elements: list[ElementScore]
    subgroups: list[SubgroupScore]
    undecided: str

    @property
    def probability(self) -> float | None:
        """Of the best Laue group; None for a known one."""
        return self.subgroups[0].likelihood if self.subgroups else None

    def tables(self) -> list[Table]:
        """Symmetry elements and subgroups."""
        if not self.subgroups:
            return []
        elements = [
            [round(e.likelihood, 3), round(e.z_cc, 2), round(e.cc, 3), stars(e.likelihood, (0.9, 0.7, 0.5)),
             f"{e.order} |({', '.join(str(v) for v in e.axis)})"] for e in self.elements
        ]  # fmt: skip
        groups = [
            [patterson_group(s.subgroup.group).hm, stars(s.likelihood, (0.8, 0.6, 0.4)), round(s.likelihood, 3),
             round(s.z_net, 2), round(s.z_for, 2), round(s.z_against, 2),
             round(s.subgroup.max_angular_difference, 2), s.subgroup.to_best.as_abc()] for s in self.subgroups
        ]  # fmt: skip
        headers = ["Patterson group", "", "Likelihood", "NetZcc", "Zcc+", "Zcc-", "Delta (deg)", "Reindex operator"]
        return [
            Table("Symmetry elements", ["Likelihood", "Z-CC", "CC", "", "Operator"], elements, "symmetry_elements"),
            Table("Subgroups of the lattice symmetry", headers, groups, "symmetry_subgroups"),
        ]

    def by_operator(self, names: list[int]) -> list[tuple[str, list[int]]]:
        """Distinct operators as text (new basis vectors), with the data sets that they are for."""
        found: dict[str, list[int]] = {}
        for name, operator in zip(names, self.operators, strict=True):
            found.setdefault(operator.as_abc(), []).append(name)
        return list(found.items())


def known_group(data: Prepared, experiments: Experiments, params: Any) -> KnownGroup | None:
    """What follows from ``space_group=`` when all crystals are in its Laue group; None otherwise."""
    if params.space_group is None:
        return None
    wanted = space_group(str(params.space_group))
    groups = [e.known_crystal.space_group for e in experiments]
    if any(laue_class(g) != laue_class(wanted) or g.centring_type() != wanted.centring_type() for g in groups):
        return None
    own = [rotations_in(operator, group) for operator, group in zip(data.to_minimum, groups, strict=True)]
    target = own[0]
    if target is None or any(rotations is None for rotations in own):
        return None
    first = []
    for rotations in own:
        onto = rotations_onto(data.lattice, rotations or target, target)
        if not onto:
            return None
        first.append(onto[0])
    if not keys_of(target) <= keys_of(data.rotations):
        raise UserError(
            f"cosym: lattice_group={params.lattice_group} lacks symmetry of space_group={wanted.hm}; leave one of them out"
        )
    options = cosets(rotations_onto(data.rotations, target, target), target)
    return KnownGroup(wanted, target, first, options)


def decide(
    data: Prepared,
    known: KnownGroup | None,
    indexing: Indexing,
    pairs: PairCorrelations,
    vectors: np.ndarray,
    params: Any,
) -> Decision:
    """The Laue group that fits best, and each set's operator; see `Decision`."""
    rotations = [pairs.operators[k] for k in indexing.places]
    if known is not None:
        turned = data.turned(rotations)
        margin = _margin(indexing, pairs, vectors, known.rotations)
        return Decision(known.group, relative_to_first(turned.to_minimum), margin, [], [], "")
    elements = _elements(data, indexing, pairs, vectors)
    scores = score_subgroups(data.subgroups, elements)
    chosen, doubt = _chosen(scores, data, params)
    if doubt:
        turned = data.turned(rotations)
        margin = np.full(pairs.n_sets, np.nan)
        return Decision(space_group("P 1"), list(turned.to_minimum), margin, elements, scores, doubt)
    # of the indexings that the symmetry makes alike, the one that changes least
    simplest = {r.tobytes(): c for c in cosets(data.rotations, chosen.rotations) for r in _with(c, chosen.rotations)}
    turned = data.turned([simplest[r.astype(np.int64).tobytes()] for r in rotations])
    margin = _margin(indexing, pairs, vectors, chosen.rotations)
    operators = [rounded(chosen.to_best @ operator) for operator in turned.to_minimum]
    group = chiral_symmorphic_group(patterson_group(chosen.group))
    if params.space_group is not None:
        group = space_group(str(params.space_group))
    return Decision(group, operators, margin, elements, scores, "")


def _with(rotation: np.ndarray, group: list[np.ndarray]) -> list[np.ndarray]:
    return [np.asarray(rotation @ g, dtype=np.int64) for g in group]


def _elements(data: Prepared, indexing: Indexing, pairs: PairCorrelations, vectors: np.ndarray) -> list[ElementScore]:
    """How well each rotation of the lattice keeps the direction of the vectors."""
    n_common = int(pairs.n.sum() / 2)
    found = []
    sets = np.arange(pairs.n_sets)
    for rotation, order, axis in distinct_elements(data.rotations):
        if order == 1:
            continue
        inverse = np.rint(np.linalg.inv(rotation)).astype(np.int64)
        top = bottom = 0.0
        for turn in (rotation, inverse):
            places = np.array([pairs.place_of(pairs.operators[k] @ turn) for k in indexing.places])
            turned = vectors[places, sets]
            top += float((turned @ indexing.direction).sum())
            bottom += float(np.linalg.norm(turned, axis=1).sum())
        cc = top / bottom if bottom > 0 else 0.0
        present, absent = likelihoods(cc, SPREAD, 1.0)
        likelihood = present / (present + absent)
        found.append(ElementScore(rotation, order, axis, cc, n_common, SPREAD, likelihood, present, absent))
    return found


def _chosen(scores: list[SubgroupScore], data: Prepared, params: Any) -> tuple[LatticeSubgroup, str]:
    """The best subgroup, or the best of the class that the user asks for; and why it cannot be believed."""
    if params.space_group is None:
        best = scores[0]
        name = patterson_group(best.subgroup.group).hm
        doubt = (
            f"the best Laue group, {name}, has a probability of only {best.likelihood:.2f}"
            if best.likelihood < MIN_PROBABILITY
            else ""
        )
        return best.subgroup, doubt
    wanted = space_group(str(params.space_group))
    for score in scores:
        group = score.subgroup.group
        if laue_class(group) == laue_class(wanted) and group.centring_type() == wanted.centring_type():
            return score.subgroup, ""
    have = ", ".join(dict.fromkeys(patterson_group(s.subgroup.group).hm for s in scores))
    raise UserError(
        f"cosym: space_group={wanted.hm} has a Laue group that is no symmetry of this lattice within "
        f"lattice_symmetry_max_delta={params.lattice_symmetry_max_delta} deg; it has {have}"
    )


def _margin(indexing: Indexing, pairs: PairCorrelations, vectors: np.ndarray, group: list[np.ndarray]) -> np.ndarray:
    """(n_sets,) float64: lead of the cosine of the indexing taken over that of the best one that is really another."""
    lead = np.full(pairs.n_sets, np.nan)
    length = np.linalg.norm(vectors, axis=2)
    cosine = (vectors @ indexing.direction) / np.maximum(length, 1e-300)
    for i, k in enumerate(indexing.places):
        alike = {pairs.place_of(pairs.operators[k] @ g) for g in group}
        others = [m for m in range(len(pairs.operators)) if m not in alike]
        if others:
            lead[i] = cosine[sorted(alike), i].max() - cosine[others, i].max()
    return lead
