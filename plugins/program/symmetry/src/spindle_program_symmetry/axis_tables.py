"""Screw axes and the space groups that they leave, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spindle.report import Table
from spindle_lib_symmetry_analysis.absences import AxisScore


def axis_tables(axes: Sequence[AxisScore], groups: Sequence[tuple[str, float]]) -> list[Table]:
    """What axial reflections say of each screw axis, and the scores of the space groups."""
    rows = [
        [a.axis.name, round(a.score, 3), a.n_present, a.n_absent, round(a.mean_present, 3), round(a.mean_absent, 3),
         round(a.ratio_present, 2), round(a.ratio_absent, 2)] for a in axes
    ]  # fmt: skip
    headers = ["Screw axis", "Score", "No. present", "No. absent", "<I> present", "<I> absent",
               "<I/sig> present", "<I/sig> absent"]  # fmt: skip
    scored = [[symbol, round(score, 4)] for symbol, score in groups]
    return [
        Table("Systematic absences", headers, rows, "screw_axes"),
        Table("Space groups", ["Space group", "Score"], scored, "space_groups"),
    ]


def warn_of_weak_axes(doubts: Sequence[str], groups: Sequence[tuple[str, float]], log: Any) -> None:
    """Say which screw axes reflections tell too weakly; axes without reflections have a sentence of their own."""
    weak = [text for text in doubts if not text.endswith("is not measured")]
    if weak:
        log.warning(
            "Which of %s it is, is not certain: %s. Scale and merge hardly depend on it; solving the structure does: try all of them",
            ", ".join(name for name, _ in groups), "; ".join(weak),
        )  # fmt: skip
