"""The two-parameter error model sigma'^2 = a^2 (sigma^2 + (b I)^2)."""

from __future__ import annotations

from .algorithm import BasicErrorModel

__all__ = ["BasicErrorModel"]
