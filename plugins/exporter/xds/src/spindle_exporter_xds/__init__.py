"""Input files for XDS."""

from __future__ import annotations

from .algorithm import XdsExporter

__all__ = ["XdsExporter"]
