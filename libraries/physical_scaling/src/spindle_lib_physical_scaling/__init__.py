"""Scale and decay along the scan and an absorption surface: what scaling models have in common."""

from __future__ import annotations

from .corrections import fixed_corrections
from .model import SmoothScales
from .params import PhysicalParams

__all__ = ["PhysicalParams", "SmoothScales", "fixed_corrections"]
