"""MTZ files."""

from __future__ import annotations

from .algorithm import MtzExporter

__all__ = ["MtzExporter"]
