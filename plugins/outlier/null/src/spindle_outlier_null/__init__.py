"""Reject no spot."""

from __future__ import annotations

from .algorithm import NullOutlier

__all__ = ["NullOutlier"]
