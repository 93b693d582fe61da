"""Symmetry and consistent indexing of many crystals."""

from __future__ import annotations

from .program import Cosym

__all__ = ["Cosym"]
