"""Input files for the strategy program BEST."""

from __future__ import annotations

from .algorithm import BestExporter

__all__ = ["BestExporter"]
