"""Write each experiment, or each group of them, to files of its own."""

from __future__ import annotations

from .program import SplitExperiments

__all__ = ["SplitExperiments"]
