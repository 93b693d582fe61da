"""Reject spots whose residuals lie far outside the quartiles."""

from __future__ import annotations

from .algorithm import TukeyOutlier

__all__ = ["TukeyOutlier"]
