"""Give experiments and their reflections identifiers."""

from __future__ import annotations

from .program import AssignExperimentIdentifiers

__all__ = ["AssignExperimentIdentifiers"]
