"""Compare algorithms, settings and finished results on the same input."""

from __future__ import annotations

from .program import Compare

__all__ = ["Compare"]
