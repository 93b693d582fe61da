"""Bruker frames."""

from __future__ import annotations

from .algorithm import BrukerFormat

__all__ = ["BrukerFormat"]
