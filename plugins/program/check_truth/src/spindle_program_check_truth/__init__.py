"""Processed reflections against the truth of a simulated set."""

from __future__ import annotations

from .algorithm import CheckTruth

__all__ = ["CheckTruth"]
