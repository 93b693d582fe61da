"""A server that finds spots on request."""

from __future__ import annotations

from .algorithm import FindSpotsServer

__all__ = ["FindSpotsServer"]
