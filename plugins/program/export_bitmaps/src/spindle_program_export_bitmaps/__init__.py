"""`spindle export_bitmaps`."""

from __future__ import annotations

from .algorithm import ExportBitmaps

__all__ = ["ExportBitmaps"]
