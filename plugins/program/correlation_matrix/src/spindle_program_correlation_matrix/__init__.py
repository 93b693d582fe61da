"""Correlations between data sets, and clusters of those that belong together."""

from __future__ import annotations

from .program import CorrelationMatrix

__all__ = ["CorrelationMatrix"]
