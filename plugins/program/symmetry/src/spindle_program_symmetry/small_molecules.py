"""Space groups of small molecules: glide planes, screw axes and the centre of inversion."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle_lib_merging import merge_equivalents
from spindle_lib_symmetry_analysis.extinctions import ACENTRIC, CENTRIC, best_extinction, chosen_group, extinctions

from .agreement import rounded
from .decision import Decision
from .support import diagnose_decision

#: Cells up to this volume (angstrom^3) are rather of small molecules.
SMALL_VOLUME = 6000.0
#: Rows of the table, the most forbidding consistent pattern and those about it.
MOST_ROWS = 30


def small_molecule_group(
    decision: Decision, hkl: np.ndarray, changed: Experiments, context: Any, scores: dict[str, Any]
) -> gemmi.SpaceGroup:
    """The space group, of all 230, by what is absent and by the statistics of general reflections.

    Parameters
    ----------
    decision : Decision
    hkl : (n, 3) int
        Indices of its observations in the setting of its group.
    changed : Experiments
        In that setting.
    context : RunContext
    scores : dict
        Gets what was found.
    """
    data, group = decision.data, decision.group
    merged = merge_equivalents(hkl, data.intensity, data.variance, group)
    found = extinctions(group, merged.hkl, merged.intensity, merged.sigma)
    best = best_extinction(found)
    rows = [
        [e.names, e.n, rounded(e.ratio), round(100 * e.present, 1), round(100 * e.intensity, 2), "*" if e is best else ""]
        for e in sorted(found, key=lambda e: (not e.is_consistent, -e.n))[:MOST_ROWS]
    ]  # fmt: skip
    headers = ["Space groups", "Forbidden", "<I/sigma>", "Present (%)", "<I> of others (%)", ""]
    context.table(Table("Reflections that space groups forbid", headers, rows, "extinctions"))
    cell = np.mean([e.known_crystal.cell for e in changed], axis=0)
    statistics = diagnose_decision(data, decision.rotations, hkl, cell, group)
    deviation = statistics.acentric.deviation
    if not np.isfinite(deviation):
        context.log.warning(
            "Too few reflections are measured well to tell whether there is a centre of inversion; none is assumed"
        )
    chosen, centric = chosen_group(best, deviation)
    context.log.info(
        "<|E^2-1|> of general reflections is %.3f (with a centre of inversion %.3f, without %.3f): %s", deviation, CENTRIC, ACENTRIC,
        "centrosymmetric" if centric else "not centrosymmetric",
    )  # fmt: skip
    others = [g.xhm() for g in best.groups if g.is_centrosymmetric() == centric and g.number != chosen.number]
    if others:
        context.log.info("%s cannot be told from %s by absences", chosen.xhm(), ", ".join(others))
    scores["extinctions"] = [
        {"space_groups": [g.xhm() for g in e.groups], "n": e.n, "consistent": e.is_consistent} for e in found
    ]
    scores["centrosymmetric"] = centric
    return chosen


def hint(changed: Experiments, log: Any) -> None:
    """Say that glide planes were not looked for where cells are small."""
    if all(abs(np.linalg.det(e.known_crystal.real_space)) < SMALL_VOLUME for e in changed):
        log.info(
            "Glide planes and a centre of inversion are not looked for; systematic_absences.small_molecule=True does, for cells as small as "
            "this"
        )
