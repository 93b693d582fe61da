"""From prepared data to one indexing of all experiments and their symmetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gemmi
import numpy as np

from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Auto
from spindle.symmetry import (
    ChangeOfBasis,
    chiral_symmorphic_group,
    laue_class,
    patterson_group,
    space_group,
)
from spindle.table import rows_by_value
from spindle_lib_symmetry_analysis.absences import TABLES as SETTINGS_WITH_TABLES
from spindle_lib_symmetry_analysis.alignment import Alignment, Observed, align, cosets, observed
from spindle_lib_symmetry_analysis.prepare import Prepared, cut
from spindle_lib_symmetry_analysis.rotations import (
    relative_to_first,
    rotations_in,
    rotations_onto,
    rounded,
    same_rotations,
)

from .analysis import MIN_REFLECTIONS, LaueAnalysis, analyse
from .support import Lowered, Supported, supported_group

#: A Laue group less likely than this is not believed.
MIN_PROBABILITY = 0.5
#: Where a true symmetry would not correlate intensities better than this, likelihoods compare noise with noise.
MIN_CC_TRUE = 0.2
IDENTITY = np.eye(3, dtype=np.int64)


@dataclass(slots=True)
class Decision:
    """Symmetry and operators.

    Attributes
    ----------
    group : gemmi.SpaceGroup
        Before screw axes are looked at, unless `keeps_group`.
    operators : list of ChangeOfBasis
        From each experiment's cell to that of the group.
    rotations : list of (3, 3) int64
        The Laue group's rotations in the common reduced cell.
    data : Prepared
        In one indexing, cut in resolution.
    analysis : LaueAnalysis or None
    keeps_group : bool
        The group is that of the input and stays as it is.
    undecided : str
        Why no Laue group can be believed; empty when one is.
    alignment : Alignment
    lowered : list of Lowered
        Laue groups that correlations suggest but the agreement of intensities does not support, each with the next.
    probability : float or None
        Of the Laue group, where it was chosen here.
    """

    group: gemmi.SpaceGroup
    operators: list[ChangeOfBasis]
    rotations: list[np.ndarray]
    data: Prepared
    analysis: LaueAnalysis | None
    keeps_group: bool
    undecided: str
    alignment: Alignment
    lowered: list[Lowered] = field(default_factory=list)
    probability: float | None = None


def decide(data: Prepared, experiments: Experiments, params: Any, rng: np.random.Generator, log: Any) -> Decision:
    """Bring the experiments together and choose the Laue group; see `Decision`."""
    given = given_group(experiments)
    if params.laue_group is None:
        if given is None:
            raise UserError(
                "symmetry: laue_group=None keeps the present space group, but the experiments have several: "
                + ", ".join(dict.fromkeys(e.crystal.space_group.xhm() for e in experiments if e.crystal is not None))
            )
        keeps = is_known(experiments) or not _has_table(given)
        return _keep(data, given, None, keeps, params, log)
    if params.laue_group is Auto and given is not None and is_known(experiments):
        return _keep(data, given, rng, True, params, log)
    if params.change_of_basis_op is not None:
        return _transform(data, params, rng, log)
    return _determine(data, given, params, rng, log)


def given_group(experiments: Experiments) -> gemmi.SpaceGroup | None:
    """The space group that all experiments have; None when they differ."""
    groups = {e.crystal.hall: e.crystal.space_group for e in experiments if e.crystal is not None}
    return next(iter(groups.values())) if len(groups) == 1 else None


def is_known(experiments: Experiments) -> bool:
    """Whether the user gave the space group: it is marked so, or no analysis of intensities could have found it."""
    crystals = [e.crystal for e in experiments if e.crystal is not None]
    return all(c.space_group_is_known or not c.space_group.is_sohncke() for c in crystals)


def _observed(data: Prepared) -> list[Observed]:
    kept = np.flatnonzero(data.keep)
    found = rows_by_value(data.experiment[kept])
    rows = [kept[found.get(i, np.zeros(0, np.int64))] for i in range(data.n_experiments)]
    return [observed(data.hkl[r], data.normalised[r], data.normalised_sigma[r]) for r in rows]


def _keep(
    data: Prepared, group: gemmi.SpaceGroup, rng: np.random.Generator | None, keeps_group: bool, params: Any, log: Any
) -> Decision:
    """The Laue group stays (and the space group, with `keeps_group`); separately indexed crystals are brought to one of
    the indexings that it allows.
    """
    own = [rotations_in(operator, group) for operator in data.to_minimum]
    target = own[0]
    assert target is not None  # the group is one of its own lattice
    first = []
    for rotations in own:
        onto = rotations_onto(data.lattice, rotations or target, target)
        first.append(onto[0] if onto and not same_rotations(rotations or target, target) else IDENTITY)
    data = data.turned(first)
    options = rotations_onto(data.lattice, target, target) or [IDENTITY]
    alignment = align(_observed(data), data.frames, options, target)
    data = cut(data.turned(alignment.rotations), params, log)
    analysis = None
    if rng is not None and np.count_nonzero(data.keep) >= MIN_REFLECTIONS:
        analysis = analyse(data, params, rng, log)
    operators = relative_to_first(data.to_minimum)
    _say_alignment(alignment, data, target, options, log)
    return Decision(group, operators, target, data, analysis, keeps_group, "", alignment)


def _transform(data: Prepared, params: Any, rng: np.random.Generator, log: Any) -> Decision:
    """The operator and the Laue group that the user asks for."""
    operator = ChangeOfBasis.from_string(params.change_of_basis_op)
    wanted = space_group(str(params.laue_group))
    rotations = rotations_in(data.to_minimum[0] @ operator.inverse(), wanted) or [IDENTITY]
    alignment = align(_observed(data), data.frames, data.lattice, rotations)
    data = cut(data.turned(alignment.rotations), params, log)
    analysis = analyse(data, params, rng, log)
    _say_alignment(alignment, data, rotations, data.lattice, log)
    operators = [rounded(operator @ op) for op in relative_to_first(data.to_minimum)]
    group = chiral_symmorphic_group(patterson_group(wanted))
    return Decision(group, operators, rotations, data, analysis, False, "", alignment)


def _determine(
    data: Prepared, given: gemmi.SpaceGroup | None, params: Any, rng: np.random.Generator, log: Any
) -> Decision:
    """Score the symmetries of the lattice, with the experiments brought together as well as can be told so far."""
    start = data
    seen = _observed(start)
    alignment = align(seen, start.frames, start.lattice, [IDENTITY])
    for _ in range(3):
        data = start.turned(alignment.rotations)
        use = np.isin(data.experiment, np.flatnonzero(alignment.decided))
        part = cut(data.select(np.flatnonzero(use)) if use.any() else data, params, log)
        analysis = analyse(part, params, rng, log)
        found = _chosen(part, analysis, params)
        chosen, lowered = found.subgroup, found.steps
        options = cosets(start.lattice, chosen.rotations)
        if len(start.to_minimum) == 1:
            break
        following = align(seen, start.frames, start.lattice, chosen.rotations, alignment.rotations)
        settled = np.array_equal(following.decided, alignment.decided) and all(
            any(np.array_equal(a @ r, b) for r in chosen.rotations)
            for a, b in zip(alignment.rotations, following.rotations, strict=True)
        )
        alignment = following
        if settled:
            break
    data = start.turned(alignment.rotations)
    data = data.select(np.flatnonzero(data.d >= part.d_min - 1e-6))
    data.d_min = part.d_min
    _say_alignment(alignment, data, chosen.rotations, options, log)
    doubt = _doubt(analysis, found) if params.laue_group is Auto else ""
    if doubt:
        return Decision(
            space_group("P 1"), _to_triclinic(data, given), [IDENTITY], data, analysis, True, doubt, alignment
        )
    if params.laue_group is Auto and given is not None and given.number > 1:
        own = rotations_in(data.to_minimum[0], given)
        if own is not None and same_rotations(own, chosen.rotations):  # the setting that the data came with stays
            operators = relative_to_first(data.to_minimum)
            keeps = not _has_table(given)
            group = given if keeps else chiral_symmorphic_group(given)
            return Decision(group, operators, own, data, analysis, keeps, "", alignment, lowered, found.probability)
    operators = [rounded(chosen.to_best @ op) for op in data.to_minimum]
    group = chiral_symmorphic_group(patterson_group(chosen.group))
    return Decision(
        group, operators, chosen.rotations, data, analysis, False, "", alignment, lowered, found.probability
    )


def _doubt(analysis: LaueAnalysis, found: Supported) -> str:
    """Why the best Laue group cannot be believed; empty when it can."""
    name = patterson_group(found.subgroup.group).hm
    if not analysis.cc_true > MIN_CC_TRUE:
        return (
            f"a true symmetry would give a correlation of {analysis.cc_true:.2f}, no more than unrelated reflections: "
            "the intensities are noise"
        )
    if found.probability < MIN_PROBABILITY:
        return f"the best Laue group, {name}, has a probability of only {found.probability:.2f}"
    return ""


def _has_table(group: gemmi.SpaceGroup) -> bool:
    """Whether screw axes can be looked up in this setting."""
    try:
        return patterson_group(group).hm in SETTINGS_WITH_TABLES
    except ParameterError:  # a setting whose Patterson group has no name, such as C 1 1 21
        return False


def _to_triclinic(data: Prepared, given: gemmi.SpaceGroup | None) -> list[ChangeOfBasis]:
    """Primitive cells as they came, or the reduced cell where they were centred."""
    if given is None or given.centring_type() != "P":
        return [rounded(op) for op in data.to_minimum]
    return relative_to_first(data.to_minimum)


def _chosen(data: Prepared, analysis: LaueAnalysis, params: Any) -> Supported:
    """The best subgroup that the intensities support, or the best with the Laue class and centring that the user asks for."""
    if params.laue_group is Auto:
        return supported_group(data, analysis.subgroups)
    wanted = space_group(str(params.laue_group))
    fitting = [s.subgroup for s in analysis.subgroups if laue_class(s.subgroup.group) == laue_class(wanted)
               and s.subgroup.group.centring_type() == wanted.centring_type()]  # fmt: skip
    if not fitting:
        have = ", ".join(dict.fromkeys(patterson_group(s.subgroup.group).hm for s in analysis.subgroups))
        raise UserError(
            f"symmetry: laue_group={wanted.hm} is no symmetry of this lattice within lattice_symmetry_max_delta="
            f"{params.lattice_symmetry_max_delta} deg; it has {have}"
        )
    return Supported(fitting[0], [], 1.0)


def _say_alignment(
    alignment: Alignment, data: Prepared, group: Sequence[np.ndarray], options: Sequence[np.ndarray], log: Any
) -> None:
    """What was done to crystals that were indexed separately, and how sure it is."""
    n_frames = len(np.unique(data.frames))
    n_split = sum(
        not np.array_equal(alignment.rotations[i], alignment.rotations[int(np.flatnonzero(data.frames == f)[0])])
        for i, f in enumerate(data.frames)
    )
    if n_frames > 1:
        log.info(
            "%d experiments were indexed in %d different bases; the agreement of their intensities says how they "
            "belong together", data.n_experiments, n_frames,
        )  # fmt: skip
    elif data.n_experiments > 1:
        log.info("All %d experiments were indexed in the same basis and change together", data.n_experiments)
    if n_split:
        log.warning(
            "%d experiment(s) have the basis of others but intensities that belong to another indexing of the lattice; "
            "they are reindexed", n_split,
        )  # fmt: skip
    n_choices = len(cosets(options, group))
    if n_frames == 1 or n_choices == 1:
        return
    blind = [str(i) for i in np.flatnonzero(~alignment.decided)]
    if blind:
        log.warning(
            "Too few reflections are shared with the others (or they do not agree) to tell which of %d indexings of "
            "the lattice belongs to experiment(s) %s: merged with the others they may be wrong. Process more images "
            "of each crystal, or index them together", n_choices, ", ".join(blind[:20]),
        )  # fmt: skip
    spread = (1.0 - np.square(alignment.cc)) / np.sqrt(np.maximum(alignment.n_common - 1, 1))
    unsure = alignment.decided & (alignment.cc - alignment.cc_next < 2.0 * np.maximum(spread, 0.02))
    if unsure.any():
        i = int(np.flatnonzero(unsure)[0])
        log.warning(
            "Of the %d indexings of the lattice two agree nearly equally well with the others for experiment(s) %s "
            "(experiment %d: CC %.3f and %.3f of %d reflections): the data are twinned, or have more symmetry than "
            "was found", n_choices, ", ".join(str(k) for k in np.flatnonzero(unsure)[:20]), i, alignment.cc[i],
            alignment.cc_next[i], alignment.n_common[i],
        )  # fmt: skip
