"""XDS_ASCII files."""

from __future__ import annotations

from .algorithm import XdsAsciiExporter

__all__ = ["XdsAsciiExporter"]
