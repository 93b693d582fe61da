"""Merging: grouping of equivalents, weighted means, merging statistics, amplitudes; shared by scale, merge, symmetry, export."""

from __future__ import annotations

from .grouping import Groups, group_equivalents, pack_indices
from .merge import AnomalousPairs, Merged, half_means, merge_equivalents, merge_groups, merge_pairs
from .statistics import (
    MergingStatistics,
    ShellStatistics,
    correlation,
    critical_correlation,
    merging_statistics,
    resolution_of,
    resolution_shells,
    shell_numbers,
)

__all__ = [
    "AnomalousPairs",
    "Groups",
    "Merged",
    "MergingStatistics",
    "ShellStatistics",
    "correlation",
    "critical_correlation",
    "group_equivalents",
    "half_means",
    "merge_equivalents",
    "merge_groups",
    "merge_pairs",
    "merging_statistics",
    "pack_indices",
    "resolution_of",
    "resolution_shells",
    "shell_numbers",
]
