"""Results against each other and against the truth of a simulated set.

`pair_by_place` finds the same reflections in two results whatever their axes, `compare_pairs` says how their intensities agree, with
intervals; `read_truths` and `best_match` do the first for what `spindle simulate` knows, and `compare_intensities` the second.
`least_variance` is what counting statistics leave of the error of an intensity.
"""

from __future__ import annotations

from .agreement import Agreement, Matches, compare_intensities, match, observed_intensities
from .bound import SpotWidths, least_variance, spot_widths
from .matching import Pairs, is_symmetry, operator_text, pair_by_place, reindexing
from .slopes import PairStatistics, compare_pairs, differences_by
from .truth import Truth, find_truths, read_truth
from .truths import best_match, read_truths

__all__ = [
    "Agreement",
    "Matches",
    "PairStatistics",
    "Pairs",
    "SpotWidths",
    "Truth",
    "best_match",
    "compare_intensities",
    "compare_pairs",
    "differences_by",
    "find_truths",
    "is_symmetry",
    "least_variance",
    "match",
    "observed_intensities",
    "operator_text",
    "pair_by_place",
    "read_truth",
    "read_truths",
    "reindexing",
    "spot_widths",
]
