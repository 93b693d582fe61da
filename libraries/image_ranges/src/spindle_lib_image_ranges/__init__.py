"""Which images a user leaves out, written in one way in all programs."""

from __future__ import annotations

from .exclusion import ImageRange, excluded_images, on_excluded_images

__all__ = ["ImageRange", "excluded_images", "on_excluded_images"]
