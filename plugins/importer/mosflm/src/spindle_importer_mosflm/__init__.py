"""Orientation matrices of MOSFLM."""

from __future__ import annotations

from .algorithm import MosflmImporter

__all__ = ["MosflmImporter"]
