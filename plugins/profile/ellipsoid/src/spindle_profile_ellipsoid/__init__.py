"""Reciprocal-lattice points as normal distributions in three dimensions: stills and rotation data."""

from __future__ import annotations

from .algorithm import EllipsoidProfile

__all__ = ["EllipsoidProfile"]
