"""Processed reflections against the truth of a simulated set."""

from __future__ import annotations

from .program import CheckTruth

__all__ = ["CheckTruth"]
