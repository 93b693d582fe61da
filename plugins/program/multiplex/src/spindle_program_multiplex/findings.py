"""All that a run has found, and the sentences that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.report import Table
from spindle_lib_many_crystals import DATA, Reduced

from .analysis import Cells
from .clusters import Group
from .inputs import Data

__all__ = ["Findings", "set_table"]

#: A set whose indexing leads over the next by less is named.
LEAST_LEAD = 0.1
#: Anomalous differences over their errors in the lowest shells from which on they are a signal,
SIGNAL = 1.2
MOST_ROWS = 200


@dataclass(slots=True)
class Findings:
    """What the steps say.

    Attributes
    ----------
    data : Data
        Sets that are left.
    cells : Cells or None
    cosym : dict
        What `cosym` wrote; empty where it was not run.
    cosym_tables : list of Table
    indexing : dict of int to dict
        By place of a data set: change of basis, length of its vector, lead over the next indexing.
    reduced : list of Reduced
        All data, groups, filtered.
    alike : dict or None
        What `correlation_matrix` wrote.
    groups : dict of str to list of Group
    contributions : dict of str to float
        Delta CC1/2 by identifier.
    damage : dict or None
        What `damage_analysis` wrote.
    problems : list of str
    steps : Table or None
    warnings : list of (str, str)
    """

    data: Data
    cells: Cells | None = None
    cosym: dict[str, Any] = field(default_factory=dict)
    cosym_tables: list[Table] = field(default_factory=list)
    indexing: dict[int, dict[str, Any]] = field(default_factory=dict)
    reduced: list[Reduced] = field(default_factory=list)
    alike: dict[str, Any] | None = None
    groups: dict[str, list[Group]] = field(default_factory=dict)
    contributions: dict[str, float] = field(default_factory=dict)
    damage: dict[str, Any] | None = None
    problems: list[str] = field(default_factory=list)
    steps: Table | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def whole(self) -> Reduced:
        """All data."""
        return self.reduced[0]

    def unsure(self) -> list[int]:
        """Places of sets whose indexing is hardly better than another one."""
        return [p for p, e in self.indexing.items() if e["lead"] is not None and e["lead"] < LEAST_LEAD]

    def harmful(self) -> list[int]:
        """Places of sets that lower CC1/2 by far more than the others."""
        if len(self.contributions) < 5:
            return []
        values = np.array(list(self.contributions.values()))
        cutoff = values.mean() - 4 * values.std()
        place = {e.identifier: p for e, p in zip(self.data.experiments, self.data.places, strict=True)}
        return [place[name] for name, v in self.contributions.items() if v < cutoff and name in place]

    def anomalous_signal(self) -> bool | None:
        """Whether the two lowest shells have more than noise in their anomalous differences; None where there are too few."""
        shells = [s for s in self.whole.statistics["shells"][:2] if s["delta_i_over_sigma"] == s["delta_i_over_sigma"]]
        if len(shells) < 2:
            return None
        return all(s["delta_i_over_sigma"] > SIGNAL or s["cc_anomalous_significant"] for s in shells)

    def verdicts(self) -> list[tuple[str, str]]:
        """Judgements: mood and sentence, the gravest first."""
        whole, found = self.whole, []
        for problem in [*self.problems, *([whole.summary["problem"]] if "problem" in whole.summary else [])]:
            found.append(("bad", problem[0].upper() + problem[1:]))
        if self.damage is not None and self.damage["suggested_last_dose"] is not None:
            last = int(self.damage["suggested_last_dose"])
            found.append(
                (
                    "bad",
                    f"Radiation damage: beyond image {last} equivalents differ more than their errors; dose=1,{last} cuts there",
                )
            )
        if twin := whole.summary.get("twin_law"):
            found.append(
                ("doubtful", f"The merged data look twinned ({twin}, fraction {whole.summary.get('twin_fraction')})")
            )
        if unsure := self.unsure():
            found.append(("doubtful", f"Two indexings fit nearly equally well for data set(s) {_several(unsure)}"))
        if harmful := self.harmful():
            found.append(
                (
                    "doubtful",
                    f"CC1/2 rises without data set(s) {_several(harmful)}: filtering.method=deltacchalf leaves them out",
                )
            )
        if self.data.left_out:
            found.append(
                (
                    "doubtful",
                    f"{len(self.data.left_out)} of {len(self.data.given)} data sets are left out; the table says why",
                )
            )
        if self.anomalous_signal():
            found.append(
                (
                    "good",
                    "There is an anomalous signal in the lowest shells: scaling.anomalous=True keeps Friedel mates apart",
                )
            )
        if not any(mood == "bad" for mood, _ in found):
            s = whole.statistics["overall"]
            found.insert(0, ("good", f"{len(self.data)} data sets in {whole.experiments[0].known_crystal.space_group.xhm()} to {s['d_min']:.2f} A: "
                             f"completeness {100 * s['completeness']:.1f} %, multiplicity {s['multiplicity']:.1f}, CC1/2 {s['cc_half']:.3f}"))  # fmt: skip
        return found

    def next_step(self, params: Any) -> str:
        """What to do now."""
        bad = [text for mood, text in self.verdicts() if mood == "bad"]
        if self.damage is not None and self.damage["suggested_last_dose"] is not None and params.dose is None:
            return f"spindle multiplex <experiments> <reflections> dose=1,{int(self.damage['suggested_last_dose'])}"
        if bad:
            return f"mend this first: {bad[0]}"
        if self.harmful() and params.filtering.method is None:
            return "spindle multiplex <experiments> <reflections> filtering.method=deltacchalf"
        if not params.clustering.output_clusters and len(self.data) >= 10:
            return f"open {DATA}/scaled.mtz in a structure solution program; output_clusters=True writes groups of sets that are alike"
        return f"open {DATA}/scaled.mtz in a structure solution program"


def _several(places: list[int]) -> str:
    return ", ".join(map(str, sorted(places)[:20])) + (" ..." if len(places) > 20 else "")


def set_table(found: Findings, most: int | None = MOST_ROWS) -> Table:
    """Every data set that was given: what became of it."""
    label = {}
    if found.cells is not None:
        label = {place: k + 1 for k, members in enumerate(found.cells.groups) for place in members}
    at = {place: i for i, place in enumerate(found.data.places)}
    rows = []
    for place, experiment in enumerate(found.data.given):
        first, last = experiment.known_scan.image_range
        entry = found.indexing.get(place, {})
        lead, delta = entry.get("lead"), found.contributions.get(experiment.identifier)
        said = found.data.left_out.get(place, "") if place not in at else found.data.notes.get(place, "")
        rows.append([
            place, experiment.identifier, f"{first}-{last}", "yes" if place in at else "no", said, label.get(place),
            entry.get("change_of_basis"), None if "length" not in entry else round(entry["length"], 3),
            None if lead is None else round(lead, 3), None if delta is None else round(100 * delta, 4),
        ])  # fmt: skip
    headers = [
        "Data set", "Identifier", "Images", "Used", "Why not, or what of it", "Cell group", "Change of basis", "Length of vector",
        "Lead of indexing", "Delta CC1/2 (%)",
    ]  # fmt: skip
    return Table("Data sets", headers, rows[:most], "data_sets")
