"""The program `spindle merge_cbf`."""

from __future__ import annotations

from .algorithm import MergeCbf

__all__ = ["MergeCbf"]
