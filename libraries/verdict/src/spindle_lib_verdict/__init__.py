"""Judged facts of a run: green, amber and red lines with their reasons and the next command."""

from __future__ import annotations

from .facts import Facts
from .from_data import decay_of, facts_of_reflections, facts_of_spots
from .from_statistics import facts_of_diagnosis, facts_of_statistics, tells_errors
from .from_steps import facts_of_steps
from .judging import judge
from .limits import LIMITS, Limit, limits_table
from .lines import COLOURS, Line, Verdict

__all__ = [
    "COLOURS",
    "LIMITS",
    "Facts",
    "Limit",
    "Line",
    "Verdict",
    "decay_of",
    "facts_of_diagnosis",
    "facts_of_reflections",
    "facts_of_spots",
    "facts_of_statistics",
    "facts_of_steps",
    "judge",
    "limits_table",
    "tells_errors",
]
