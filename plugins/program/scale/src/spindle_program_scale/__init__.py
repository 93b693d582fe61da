"""The program `scale`."""

from __future__ import annotations

from .algorithm import Scale

__all__ = ["Scale"]
