"""Images, lattices and geometry in the browser."""

from __future__ import annotations

from .program import View

__all__ = ["View"]
