"""A background that knows the resolution of each pixel."""

from __future__ import annotations

from .algorithm import RadialBackground

__all__ = ["RadialBackground"]
