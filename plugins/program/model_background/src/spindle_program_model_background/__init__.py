"""Make an image of the background from a scan."""

from __future__ import annotations

from .program import ModelBackground

__all__ = ["ModelBackground"]
