"""Correction of the absorption by plates before and behind the crystal."""

from __future__ import annotations

from .algorithm import OtherAbsorption

__all__ = ["OtherAbsorption"]
