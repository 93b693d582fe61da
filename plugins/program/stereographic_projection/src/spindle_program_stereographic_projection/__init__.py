"""Draw the directions of lattice planes of crystals as stereographic projection."""

from __future__ import annotations

from .program import StereographicProjection

__all__ = ["StereographicProjection"]
