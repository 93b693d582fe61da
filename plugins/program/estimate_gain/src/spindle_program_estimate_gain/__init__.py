"""The program `spindle estimate_gain`."""

from __future__ import annotations

from .algorithm import EstimateGain

__all__ = ["EstimateGain"]
