"""Tables of observations as comma-separated values."""

from __future__ import annotations

from .algorithm import CsvExporter

__all__ = ["CsvExporter"]
