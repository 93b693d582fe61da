"""Pictures read by imageio, with geometry from parameters."""

from __future__ import annotations

from .algorithm import ImageioFormat

__all__ = ["ImageioFormat"]
