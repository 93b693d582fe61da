"""Orientations of a known cell that match the spots of lowest resolution."""

from __future__ import annotations

from .algorithm import LowResSpotMatchIndexing

__all__ = ["LowResSpotMatchIndexing"]
