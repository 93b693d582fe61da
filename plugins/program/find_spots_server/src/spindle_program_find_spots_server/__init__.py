"""A server that finds spots on request."""

from __future__ import annotations

from .program import FindSpotsServer

__all__ = ["FindSpotsServer"]
