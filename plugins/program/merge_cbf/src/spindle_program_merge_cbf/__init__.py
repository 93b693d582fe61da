"""The program `spindle merge_cbf`."""

from __future__ import annotations

from .program import MergeCbf

__all__ = ["MergeCbf"]
