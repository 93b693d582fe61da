"""FEI TIA series (.ser with .emi)."""

from __future__ import annotations

from .algorithm import SerFormat

__all__ = ["SerFormat"]
