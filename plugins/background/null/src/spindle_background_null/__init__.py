"""No background at all: 0 in every pixel."""

from __future__ import annotations

from .algorithm import NullBackground

__all__ = ["NullBackground"]
