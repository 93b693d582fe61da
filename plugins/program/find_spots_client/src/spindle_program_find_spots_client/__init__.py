"""Asks a server to find the spots of images."""

from __future__ import annotations

from .program import FindSpotsClient

__all__ = ["FindSpotsClient"]
