"""Strong pixels by the median and spread of pixels at the same scattering angle."""

from __future__ import annotations

from .algorithm import RadialProfileThreshold

__all__ = ["RadialProfileThreshold"]
