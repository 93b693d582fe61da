"""Rotation images of a crystal whose intensities are known."""

from __future__ import annotations

from .program import Simulate

__all__ = ["Simulate"]
