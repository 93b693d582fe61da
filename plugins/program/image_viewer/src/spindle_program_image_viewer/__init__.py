"""Look at diffraction images in the browser."""

from __future__ import annotations

from .program import ImageViewer

__all__ = ["ImageViewer"]
