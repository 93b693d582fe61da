"""Crystals and reflections in another basis, and the operator that leads from one basis to another."""

from __future__ import annotations

from .apply import ChangedIndices, change_experiments, change_indices
from .from_orientations import Match, like_bases, match
from .from_spots import change_of_setting, in_setting_of, observed_indices

__all__ = [
    "ChangedIndices",
    "Match",
    "change_experiments",
    "change_indices",
    "change_of_setting",
    "in_setting_of",
    "like_bases",
    "match",
    "observed_indices",
]
