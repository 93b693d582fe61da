"""Radiation damage from equivalents measured at different doses."""

from __future__ import annotations

from .program import DamageAnalysis

__all__ = ["DamageAnalysis"]
