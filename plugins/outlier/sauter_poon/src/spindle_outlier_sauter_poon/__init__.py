"""Reject spots beyond the Rayleigh distribution of the well-predicted ones."""

from __future__ import annotations

from .algorithm import SauterPoonOutlier

__all__ = ["SauterPoonOutlier"]
