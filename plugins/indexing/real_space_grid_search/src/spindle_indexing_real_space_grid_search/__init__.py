"""Lattice vectors of known length by a search over directions."""

from __future__ import annotations

from .algorithm import RealSpaceGridSearchIndexing

__all__ = ["RealSpaceGridSearchIndexing"]
