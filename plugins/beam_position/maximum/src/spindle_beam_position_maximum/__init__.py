"""Beam position at the brightest place of images, for a beam that is not stopped."""

from __future__ import annotations

from .algorithm import MaximumBeamPosition

__all__ = ["MaximumBeamPosition"]
