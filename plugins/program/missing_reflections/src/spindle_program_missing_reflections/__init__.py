"""Regions of reciprocal space where reflections are missing."""

from __future__ import annotations

from .program import MissingReflections

__all__ = ["MissingReflections"]
