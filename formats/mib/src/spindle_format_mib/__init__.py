"""Quantum Detectors Merlin images (.mib with .hdr)."""

from __future__ import annotations

from .algorithm import MibFormat

__all__ = ["MibFormat"]
