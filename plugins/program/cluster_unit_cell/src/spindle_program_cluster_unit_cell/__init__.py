"""Groups of crystals with similar unit cells."""

from __future__ import annotations

from .program import ClusterUnitCell

__all__ = ["ClusterUnitCell"]
