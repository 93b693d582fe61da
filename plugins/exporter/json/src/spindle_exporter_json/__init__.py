"""Reciprocal-lattice points as JSON, for viewers."""

from __future__ import annotations

from .algorithm import JsonExporter

__all__ = ["JsonExporter"]
