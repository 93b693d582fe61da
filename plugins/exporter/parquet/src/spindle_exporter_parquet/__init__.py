"""Tables of observations as Parquet."""

from __future__ import annotations

from .algorithm import ParquetExporter

__all__ = ["ParquetExporter"]
