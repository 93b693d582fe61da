"""`spindle spot_counts_per_image`."""

from __future__ import annotations

from .program import SpotCountsPerImage

__all__ = ["SpotCountsPerImage"]
