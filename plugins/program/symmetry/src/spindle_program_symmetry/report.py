"""The page of the program: what decided about the symmetry, as tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from spindle.report import Table
from spindle.symmetry import patterson_group
from spindle_lib_merging import Merged
from spindle_lib_pages import Page
from spindle_lib_pages.figures import bars, lines
from spindle_lib_sections.merged import diagnosis_section
from spindle_lib_twinning.diagnosis import Diagnosis

from .decision import Decision

__all__ = ["page"]

#: Laue groups of the plot of probabilities.
MOST_GROUPS = 20
#: Fewer axial reflections make no plot.
FEWEST_AXIAL = 3
#: Likelihood and margin below which the choice is told as doubtful.
SURE, CLEAR = 0.8, 0.3


def page(
    decision: Decision, group: gemmi.SpaceGroup, cell: np.ndarray, tables: Sequence[Table], problems: Sequence[str],
    diagnosis: Diagnosis | None, merged: Merged, scores: dict[str, Any],
) -> str:  # fmt: skip
    """A self-contained page.

    Parameters
    ----------
    decision : Decision
    group : gemmi.SpaceGroup
        That was written.
    cell : (6,) float64
    tables : sequence of Table
        Of the run.
    problems : sequence of str
        What the log warns of, in short.
    diagnosis : Diagnosis or None
        Of the intensities in the group.
    merged : Merged
        Intensities in the setting of the group, absences included.
    scores : dict
        What the JSON file holds.
    """
    found = Page("Symmetry", f"{group.xhm()}, cell {' '.join(f'{v:.3f}' for v in cell)}")
    for sentence in problems:
        found.text(sentence[0].upper() + sentence[1:], "bad")
    for step in decision.lowered:
        found.text(step.sentence[0].upper() + step.sentence[1:], "doubtful")
    if not problems and not decision.lowered:
        found.text(_verdict(decision, group), "good")
    analysis = decision.analysis
    named = {t.key: t for t in tables}
    found.section("Laue group")
    found.tables(named[k] for k in ("symmetry_subgroups", "symmetry_elements") if k in named)
    if analysis is not None:
        shown = analysis.subgroups[:MOST_GROUPS]
        names = _distinct([patterson_group(s.subgroup.group).hm for s in shown])
        found.plot(
            bars("Probability of each Laue group", "", "probability", [("", names, [s.likelihood for s in shown])])
        )
        elements = [e for e in analysis.elements if e.n]
        labels = _distinct([f"{e.order} ({' '.join(str(v) for v in e.axis)})" for e in elements])
        level = [analysis.cc_true] * len(labels)
        found.plot(
            lines(
                "Correlation of reflections that each rotation relates", "rotation", "CC",
                [("observed", labels, [e.cc for e in elements]), ("expected of a symmetry", labels, level)],
                xaxis={"type": "category"},
            )
        )  # fmt: skip
    axial = _axial(merged)
    if axial or "screw_axes" in named or "space_groups" in named:
        found.section("Absences")
        found.tables(named[k] for k in ("screw_axes", "space_groups") if k in named)
        if space_groups := scores.get("space_group_scores"):
            names, values = list(space_groups), [float(v) for v in space_groups.values()]
            found.plot(bars("Probability of each space group", "", "probability", [("", names, values)]))
        found.plots(axial)
    if "agreement" in named:
        found.section("Experiments")
        found.table(named["agreement"])
    if diagnosis is not None and diagnosis.n:
        found.add(diagnosis_section(diagnosis, is_scaled=False))
    told = {
        "symmetry_subgroups",
        "symmetry_elements",
        "screw_axes",
        "space_groups",
        "agreement",
        "intensity_statistics",
        "twin_laws",
    }
    rest = [t for t in tables if t.key not in told]
    if rest:
        found.section("More")
        found.tables(rest)
    return found.html()


def _verdict(decision: Decision, group: gemmi.SpaceGroup) -> str:
    """What was decided, and by how much."""
    analysis = decision.analysis
    if decision.keeps_group:
        return f"The space group {group.xhm()} that was given is kept; the intensities agree with it."
    if analysis is None or not analysis.subgroups:
        return f"The space group is {group.xhm()}."
    best = analysis.subgroups[0].likelihood
    second = analysis.subgroups[1].likelihood if len(analysis.subgroups) > 1 else 0.0
    sure = "clearly" if best > SURE and best - second > CLEAR else "hardly"
    return (
        f"The space group is {group.xhm()}; the Laue group {patterson_group(analysis.subgroups[0].subgroup.group).hm} has the probability {best:.2f}, {sure} more than the "
        f"next one ({second:.2f})."
    )


def _axial(merged: Merged) -> list[dict[str, Any]]:
    """I / sigma of the reflections on each axis, where screw axes show."""
    figures = []
    for axis, name in enumerate(("h 0 0", "0 k 0", "0 0 l")):
        others = [k for k in range(3) if k != axis]
        rows = np.flatnonzero((merged.hkl[:, others] == 0).all(axis=1) & (merged.hkl[:, axis] != 0))
        if len(rows) < FEWEST_AXIAL:
            continue
        index = np.abs(merged.hkl[rows, axis])
        ratio = merged.intensity[rows] / merged.sigma[rows]
        order = np.argsort(index)
        figures.append(
            bars(f"Reflections {name}", "index", "I/sigma", [("", index[order].tolist(), ratio[order].tolist())])
        )
    return figures


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that differ: the second of equal ones gets a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
