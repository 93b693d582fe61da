"""The numbers of a run as one JSON text."""

from __future__ import annotations

from typing import Any

from spindle.report import json_text
from spindle_lib_many_crystals import Reduced, summary_of

from .findings import Findings, set_table

__all__ = ["record"]


def record(found: Findings) -> str:
    """All that was found, as plain values."""
    sets = set_table(found, None)
    content: dict[str, Any] = {
        "data_sets": [dict(zip(_KEYS, row, strict=True)) for row in sets.rows],
        "unit_cell_groups": None if found.cells is None else {
            "groups": found.cells.groups, "linkage": found.cells.linkage.tolist(), "unit_cells": found.cells.cells.tolist(),
        },
        "cosym": found.cosym, "data_set_correlations": found.alike, "delta_cc_half": found.contributions, "damage": found.damage,
        "datasets": {r.name: _merged(r) for r in found.reduced},
        "comparison": {"headers": summary_of(found.reduced).headers, "rows": summary_of(found.reduced).rows},
        "verdicts": [{"mood": mood, "text": text} for mood, text in found.verdicts()],
        "warnings": [{"step": step, "text": text} for step, text in found.warnings],
        "steps": None if found.steps is None else found.steps.rows,
    }  # fmt: skip
    return json_text(content, 1) + "\n"


_KEYS = (
    "data_set", "identifier", "images", "used", "note", "cell_group", "change_of_basis", "vector_length", "lead", "delta_cc_half_percent",
)  # fmt: skip


def _merged(reduced: Reduced) -> dict[str, Any]:
    return {
        "data_sets": [e.identifier for e in reduced.experiments],
        "space_group": reduced.experiments[0].known_crystal.space_group.xhm(),
        "unit_cell": [float(v) for v in reduced.experiments[0].known_crystal.cell],
        "d_min": reduced.d_min, "limit_by": reduced.limits, "merging_stats": reduced.statistics, "summary": reduced.summary,
        "filter": reduced.filtered,
    }  # fmt: skip
