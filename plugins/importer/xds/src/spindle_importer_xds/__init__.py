"""Results of XDS: geometry, integrated and scaled reflections, spots."""

from __future__ import annotations

from .algorithm import XdsImporter

__all__ = ["XdsImporter"]
