"""Median of the background pixels of each shoebox."""

from __future__ import annotations

from .algorithm import MedianBackground

__all__ = ["MedianBackground"]
