"""Fit the error model of scaled data again."""

from __future__ import annotations

from .program import RefineErrorModel

__all__ = ["RefineErrorModel"]
