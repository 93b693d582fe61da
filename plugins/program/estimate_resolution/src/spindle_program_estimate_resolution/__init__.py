"""Find to which resolution data tell something."""

from __future__ import annotations

from .program import EstimateResolution

__all__ = ["EstimateResolution"]
