"""The program `spindle apply_mask`."""

from __future__ import annotations

from .program import ApplyMask

__all__ = ["ApplyMask"]
