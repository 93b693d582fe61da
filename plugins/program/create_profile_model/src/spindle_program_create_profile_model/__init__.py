"""Widths of spots from strong spots, written into the experiments."""

from __future__ import annotations

from .program import CreateProfileModel

__all__ = ["CreateProfileModel"]
