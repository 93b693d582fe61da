"""MRC image stacks of electron microscopes (.mrc, .mrcs, .map)."""

from __future__ import annotations

from .algorithm import MrcFormat

__all__ = ["MrcFormat"]
