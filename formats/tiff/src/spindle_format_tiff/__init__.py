"""TIFF images."""

from __future__ import annotations

from .algorithm import TiffFormat

__all__ = ["TiffFormat"]
