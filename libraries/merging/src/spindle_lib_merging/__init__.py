"""Merging: preparation and grouping of intensities, weighted means, merging statistics, amplitudes.

Shared by the programs scale, symmetry, merge and export.
"""

from __future__ import annotations

from .columns import amplitude_columns, intensity_columns
from .correlations import correlation, critical_correlation
from .free_flags import FreeFlags, copied_flags, free_flags, number_of_flags
from .grouping import Groups, group_equivalents, pack_indices
from .intensities import Intensities, check_scaled, is_measured, is_scaled, prepare_intensities
from .intensity_files import FileIntensities, read_intensities
from .merge import AnomalousPairs, Merged, half_means, merge_equivalents, merge_groups, merge_pairs, merge_random_halves
from .options import FreeFlagOptions, ResolutionMetrics, refuse_without_reference
from .reference_setting import in_reference_setting
from .resolution_fits import DATA_END, METRICS, DataEnd, Metric, ResolutionCurve, data_end, resolution_curve
from .soundness import problems_of
from .statistics import (
    MergingStatistics,
    ShellStatistics,
    merging_statistics,
    resolution_limit,
    resolution_of,
    resolution_shells,
    shell_numbers,
    statistics_in_shells,
)
from .tables import shell_table, summary_table
from .truncation import Amplitudes, believed_means, expected_intensity, french_wilson
from .unmerged import Unmerged, mtz_indices, open_mtz, read_mtz, read_unmerged, to_measured_indices, whole_indices
from .wilson import WilsonPlot, wilson_plot

__all__ = [
    "DATA_END",
    "METRICS",
    "Amplitudes",
    "AnomalousPairs",
    "DataEnd",
    "FileIntensities",
    "FreeFlagOptions",
    "FreeFlags",
    "Groups",
    "Intensities",
    "Merged",
    "MergingStatistics",
    "Metric",
    "ResolutionCurve",
    "ResolutionMetrics",
    "ShellStatistics",
    "Unmerged",
    "WilsonPlot",
    "amplitude_columns",
    "believed_means",
    "check_scaled",
    "copied_flags",
    "correlation",
    "critical_correlation",
    "data_end",
    "expected_intensity",
    "free_flags",
    "french_wilson",
    "group_equivalents",
    "half_means",
    "in_reference_setting",
    "intensity_columns",
    "is_measured",
    "is_scaled",
    "merge_equivalents",
    "merge_groups",
    "merge_pairs",
    "merge_random_halves",
    "merging_statistics",
    "mtz_indices",
    "number_of_flags",
    "open_mtz",
    "pack_indices",
    "prepare_intensities",
    "problems_of",
    "read_intensities",
    "read_mtz",
    "read_unmerged",
    "refuse_without_reference",
    "resolution_curve",
    "resolution_limit",
    "resolution_of",
    "resolution_shells",
    "shell_numbers",
    "shell_table",
    "statistics_in_shells",
    "summary_table",
    "to_measured_indices",
    "whole_indices",
    "wilson_plot",
]
