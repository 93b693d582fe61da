"""Images read by fabio, with geometry from parameters."""

from __future__ import annotations

from .algorithm import FabioFormat

__all__ = ["FabioFormat"]
