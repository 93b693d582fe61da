"""Merged and unmerged reflections of mmCIF files."""

from __future__ import annotations

from .algorithm import MmcifImporter

__all__ = ["MmcifImporter"]
