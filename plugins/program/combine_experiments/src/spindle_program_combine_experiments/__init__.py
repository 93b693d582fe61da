"""Join the experiments and reflections of several files."""

from __future__ import annotations

from .program import CombineExperiments

__all__ = ["CombineExperiments"]
