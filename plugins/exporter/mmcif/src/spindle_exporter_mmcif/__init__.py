"""mmCIF files, unmerged and merged, ready for deposition."""

from __future__ import annotations

from .algorithm import MmcifExporter

__all__ = ["MmcifExporter"]
