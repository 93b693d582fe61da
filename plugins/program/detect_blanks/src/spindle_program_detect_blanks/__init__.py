"""Find images on which there is no diffraction."""

from __future__ import annotations

from .program import DetectBlanks

__all__ = ["DetectBlanks"]
