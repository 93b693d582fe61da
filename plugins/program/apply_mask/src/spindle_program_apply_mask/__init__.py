"""The program `spindle apply_mask`."""

from __future__ import annotations

from .algorithm import ApplyMask

__all__ = ["ApplyMask"]
