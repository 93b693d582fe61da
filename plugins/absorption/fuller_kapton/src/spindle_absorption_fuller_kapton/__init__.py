"""Correction of the absorption by a flat tape that carries the crystal."""

from __future__ import annotations

from .algorithm import FullerKaptonAbsorption

__all__ = ["FullerKaptonAbsorption"]
