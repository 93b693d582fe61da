"""Pixels in the frames of spots: kernels that profile models share."""

from __future__ import annotations

from .kernels import in_frame, in_frame_with_slopes

__all__ = ["in_frame", "in_frame_with_slopes"]
