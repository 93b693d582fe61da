"""Raw files with direction cosines, for SADABS."""

from __future__ import annotations

from .algorithm import SadabsExporter

__all__ = ["SadabsExporter"]
