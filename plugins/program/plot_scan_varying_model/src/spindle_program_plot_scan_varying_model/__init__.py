"""Draw how cell, orientation and beam change along a scan."""

from __future__ import annotations

from .program import PlotScanVaryingModel

__all__ = ["PlotScanVaryingModel"]
