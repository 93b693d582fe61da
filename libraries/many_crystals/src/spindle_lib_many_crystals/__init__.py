"""Scaling, filtering and merging of many data sets, step by step."""

from __future__ import annotations

from .options import FilterOptions
from .reduction import DATA, Reduced, Reduction, summary_of, wavelength_groups, with_nan
from .sections import by_resolution, filter_section, removed_table, shell_section
from .steps import LOGS, PROCESSING, Steps, settings_of

__all__ = [
    "DATA",
    "LOGS",
    "PROCESSING",
    "FilterOptions",
    "Reduced",
    "Reduction",
    "Steps",
    "by_resolution",
    "filter_section",
    "removed_table",
    "settings_of",
    "shell_section",
    "summary_of",
    "wavelength_groups",
    "with_nan",
]
