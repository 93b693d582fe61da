"""Centroids of spots as intensity-weighted means."""

from __future__ import annotations

from .algorithm import SimpleCentroid

__all__ = ["SimpleCentroid"]
