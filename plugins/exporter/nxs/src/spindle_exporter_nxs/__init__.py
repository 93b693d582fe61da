"""NXmx files with reflections and models, in HDF5."""

from __future__ import annotations

from .algorithm import NxsExporter

__all__ = ["NxsExporter"]
