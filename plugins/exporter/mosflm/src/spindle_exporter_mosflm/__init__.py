"""Orientation matrix and input file for MOSFLM."""

from __future__ import annotations

from .algorithm import MosflmExporter

__all__ = ["MosflmExporter"]
