"""The beam position at which the spots make a lattice."""

from __future__ import annotations

from .algorithm import LatticeBeamPosition

__all__ = ["LatticeBeamPosition"]
