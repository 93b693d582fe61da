"""Beam position in the middle of the diffuse scattering of images."""

from __future__ import annotations

from .algorithm import MidpointBeamPosition

__all__ = ["MidpointBeamPosition"]
