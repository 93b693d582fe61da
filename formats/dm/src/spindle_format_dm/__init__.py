"""Gatan images."""

from __future__ import annotations

from .algorithm import DmFormat

__all__ = ["DmFormat"]
