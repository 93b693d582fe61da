"""Which images a user leaves out, written in one way in all programs, and on which the beam was lost."""

from __future__ import annotations

from .exclusion import ImageRange, excluded_images, on_excluded_images
from .lost import LostRange, image_level, lost_ranges

__all__ = ["ImageRange", "LostRange", "excluded_images", "image_level", "lost_ranges", "on_excluded_images"]
