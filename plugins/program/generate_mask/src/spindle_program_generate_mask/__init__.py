"""The program `spindle generate_mask`."""

from __future__ import annotations

from .program import GenerateMask

__all__ = ["GenerateMask"]
