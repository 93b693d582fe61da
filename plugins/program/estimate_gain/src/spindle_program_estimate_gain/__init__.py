"""The program `spindle estimate_gain`."""

from __future__ import annotations

from .program import EstimateGain

__all__ = ["EstimateGain"]
