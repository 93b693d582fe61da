"""SHELX .hkl and .ins files."""

from __future__ import annotations

from .algorithm import ShelxExporter

__all__ = ["ShelxExporter"]
