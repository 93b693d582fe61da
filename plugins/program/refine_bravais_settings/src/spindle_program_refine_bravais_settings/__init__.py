"""Refine a crystal in every lattice symmetry that its cell allows."""

from __future__ import annotations

from .program import RefineBravaisSettings

__all__ = ["RefineBravaisSettings"]
