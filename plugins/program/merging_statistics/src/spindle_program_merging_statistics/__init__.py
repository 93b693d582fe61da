"""Merging statistics of unmerged intensities."""

from __future__ import annotations

from .program import MergingStatistics

__all__ = ["MergingStatistics"]
