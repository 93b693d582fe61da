"""The program `merge`."""

from __future__ import annotations

from .algorithm import Merge

__all__ = ["Merge"]
