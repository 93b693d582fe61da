"""Hexagonal ice: its cell, and where its powder rings are. Nothing else says where ice scatters."""

from __future__ import annotations

from .rings import BROAD_RINGS, SPACE_GROUP, SPOT_WIDTH, UNIT_CELL, WIDTH, in_broad_ring, in_intervals, ring_intervals

__all__ = [
    "BROAD_RINGS",
    "SPACE_GROUP",
    "SPOT_WIDTH",
    "UNIT_CELL",
    "WIDTH",
    "in_broad_ring",
    "in_intervals",
    "ring_intervals",
]
