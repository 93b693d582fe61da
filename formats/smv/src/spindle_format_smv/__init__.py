"""SMV images of ADSC detectors and those who borrowed their header."""

from __future__ import annotations

from .algorithm import SmvFormat

__all__ = ["SmvFormat"]
