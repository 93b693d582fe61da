"""`spindle export_bitmaps`."""

from __future__ import annotations

from .program import ExportBitmaps

__all__ = ["ExportBitmaps"]
