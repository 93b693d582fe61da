"""TVIPS TemCam series (.tvips)."""

from __future__ import annotations

from .algorithm import TvipsFormat

__all__ = ["TvipsFormat"]
