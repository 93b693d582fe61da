"""Intensities to compare with: merged files, or calculated from coordinates, in the basis of a crystal."""

from __future__ import annotations

from .calculated import calculated_intensities, read_structure
from .indexings import Indexings, clear_choice
from .reading import ReferenceIntensities, read_reference
from .settings import in_basis_of

__all__ = [
    "Indexings",
    "ReferenceIntensities",
    "calculated_intensities",
    "clear_choice",
    "in_basis_of",
    "read_reference",
    "read_structure",
]
