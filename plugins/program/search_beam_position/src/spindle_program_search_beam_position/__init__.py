"""Find where the direct beam hits the detector."""

from __future__ import annotations

from .program import SearchBeamPosition

__all__ = ["SearchBeamPosition"]
