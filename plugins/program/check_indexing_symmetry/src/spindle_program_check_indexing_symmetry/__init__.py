"""Compare intensities that symmetry, or a shift of the indices, would make equal."""

from __future__ import annotations

from .program import CheckIndexingSymmetry

__all__ = ["CheckIndexingSymmetry"]
