"""Images of marCCD and mar345 detectors."""

from __future__ import annotations

from .algorithm import MarFormat

__all__ = ["MarFormat"]
