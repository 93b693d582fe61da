"""Laue group and space group of integrated data."""

from __future__ import annotations

from .algorithm import SymmetryProgram

__all__ = ["SymmetryProgram"]
