"""EDF images."""

from __future__ import annotations

from .algorithm import EdfFormat

__all__ = ["EdfFormat"]
