"""The program `scale`."""

from __future__ import annotations

from .program import Scale

__all__ = ["Scale"]
