"""Laue group and space group of integrated data."""

from __future__ import annotations

from .program import SymmetryProgram

__all__ = ["SymmetryProgram"]
